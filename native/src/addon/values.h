// Reads JavaScript values. An unexpected value throws std::invalid_argument with its name, what was expected and what
// was found: "forest.sequences[1].length: expected an integer, found undefined".
#pragma once
#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace idlm {

// The value for a message: a number, else its type.
std::string describe(const Napi::Value& value);

// Empty if it is not a number.
std::optional<double> toNumber(const Napi::Value& value);
std::optional<int32_t> toInteger(const Napi::Value& value);  // whole and of 32 bits
std::optional<std::string> toText(const Napi::Value& value);
// An Int32Array or an array of integers, into `out`.
bool toIntegers(const Napi::Value& value, std::vector<int32_t>& out);

template <class T>
struct ArrayType;
template <>
struct ArrayType<uint8_t> {
  static constexpr napi_typedarray_type type = napi_uint8_array;
  static constexpr const char* name = "a Uint8Array";
};
template <>
struct ArrayType<int32_t> {
  static constexpr napi_typedarray_type type = napi_int32_array;
  static constexpr const char* name = "an Int32Array";
};
template <>
struct ArrayType<uint32_t> {
  static constexpr napi_typedarray_type type = napi_uint32_array;
  static constexpr const char* name = "a Uint32Array";
};
template <>
struct ArrayType<float> {
  static constexpr napi_typedarray_type type = napi_float32_array;
  static constexpr const char* name = "a Float32Array";
};
template <>
struct ArrayType<double> {
  static constexpr napi_typedarray_type type = napi_float64_array;
  static constexpr const char* name = "a Float64Array";
};

// The elements of a typed array, valid as long as its buffer.
template <class T>
struct View {
  const T* data = nullptr;
  size_t size = 0;
};

void* typedArrayData(const Napi::Value& value, napi_typedarray_type type, size_t* size);

template <class T>
std::optional<View<T>> toView(const Napi::Value& value) {
  size_t size = 0;
  void* data = typedArrayData(value, ArrayType<T>::type, &size);
  // An empty typed array may have a null pointer.
  if (!data && size != 0) return std::nullopt;
  return View<T>{static_cast<const T*>(data), size};
}

// Keeps JavaScript objects alive whose memory is read off the event loop.
using Holds = std::vector<Napi::ObjectReference>;

class Elements;

// Reads the properties of an object. `parent` must outlive it.
class Fields {
 public:
  Fields(const Napi::Value& value, const char* name) : Fields(value, name, nullptr, -1) {}

  Napi::Value get(const char* key) const { return object_.Get(key); }
  // Neither undefined nor null.
  bool has(const char* key) const;
  double number(const char* key) const;
  int32_t integer(const char* key) const;
  int64_t safeInteger(const char* key) const;  // of at most 53 bits
  bool flag(const char* key) const;
  std::string text(const char* key) const;
  std::string optionalText(const char* key) const;  // empty where it is absent
  std::vector<int32_t> integers(const char* key) const;
  Fields object(const char* key) const { return {get(key), key, this, -1}; }
  Elements elements(const char* key) const;
  // The names of its own properties.
  std::vector<std::string> keys() const;

  template <class T>
  View<T> view(const char* key, Holds* holds = nullptr) const {
    Napi::Value value = get(key);
    auto view = toView<T>(value);
    if (!view) fail(key, ArrayType<T>::name, value);
    if (holds) holds->push_back(Napi::Persistent(value.As<Napi::Object>()));
    return *view;
  }
  // A view of exactly `size` elements.
  template <class T>
  View<T> viewOf(const char* key, size_t size, Holds* holds = nullptr) const {
    View<T> found = view<T>(key, holds);
    if (found.size != size) failLength(key, size, found.size);
    return found;
  }
  template <class T>
  void copy(const char* key, std::vector<T>& out) const {
    View<T> found = view<T>(key);
    out.assign(found.data, found.data + found.size);
  }

  [[noreturn]] void fail(const char* key, const char* expected, const Napi::Value& found) const;
  [[noreturn]] void failLength(const char* key, size_t expected, size_t found) const;
  // Path for messages: "program.operations[3]".
  std::string path() const;

 private:
  friend class Elements;
  Fields(const Napi::Value& value, const char* name, const Fields* parent, int64_t index);
  Napi::Object object_;
  const char* name_;
  const Fields* parent_;
  int64_t index_;  // index in the array `name_`; -1: not an element
};

// The elements of an array. `parent` must outlive it; null: not a property.
class Elements {
 public:
  Elements(const Napi::Value& value, const char* name, const Fields* parent = nullptr);
  uint32_t size() const { return size_; }
  Napi::Value get(uint32_t i) const { return array_.Get(i); }
  Fields at(uint32_t i) const { return {get(i), name_, parent_, int64_t(i)}; }

 private:
  Napi::Object array_;
  const char* name_;
  const Fields* parent_;
  uint32_t size_ = 0;
};

// Reads the arguments of `method`.
class Arguments {
 public:
  Arguments(const Napi::CallbackInfo& info, const char* method) : info_(info), method_(method) {}
  Napi::Value get(size_t i) const { return info_[i]; }
  bool has(size_t i) const { return !info_[i].IsUndefined() && !info_[i].IsNull(); }
  double number(size_t i, const char* name) const;
  int32_t integer(size_t i, const char* name) const;
  int32_t integer(size_t i, const char* name, int32_t least, int32_t most) const;
  bool flag(size_t i, const char* name) const;
  std::string text(size_t i, const char* name) const;
  std::vector<int32_t> integers(size_t i, const char* name) const;
  template <class T>
  View<T> view(size_t i, const char* name) const {
    auto view = toView<T>(info_[i]);
    if (!view) fail(i, name, ArrayType<T>::name);
    return *view;
  }
  [[noreturn]] void fail(size_t i, const char* name, const std::string& expected) const;

 private:
  const Napi::CallbackInfo& info_;
  const char* method_;
};

// ---- to JavaScript

Napi::Int32Array toArray(Napi::Env env, const int32_t* values, size_t n);
Napi::Float32Array toArray(Napi::Env env, const float* values, size_t n);

}  // namespace idlm
