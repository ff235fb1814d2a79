#include "addon/values.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace idlm {

std::string describe(const Napi::Value& value) {
  if (value.IsEmpty() || value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsNumber()) {
    char text[32];
    snprintf(text, sizeof text, "%.17g", value.As<Napi::Number>().DoubleValue());
    return text;
  }
  if (value.IsString()) return "a string";
  if (value.IsBoolean()) return "a boolean";
  if (value.IsTypedArray()) return "another typed array";
  if (value.IsArray()) return "an array";
  if (value.IsFunction()) return "a function";
  return value.IsObject() ? "an object" : "a value of another type";
}

std::optional<double> toNumber(const Napi::Value& value) {
  double number = 0;
  if (napi_get_value_double(value.Env(), value, &number) != napi_ok) return std::nullopt;
  return number;
}

std::optional<int32_t> toInteger(const Napi::Value& value) {
  double number = 0;
  if (napi_get_value_double(value.Env(), value, &number) != napi_ok) return std::nullopt;
  if (!(number >= INT32_MIN && number <= INT32_MAX) || number != std::trunc(number)) return std::nullopt;
  return int32_t(number);
}

std::optional<std::string> toText(const Napi::Value& value) {
  if (!value.IsString()) return std::nullopt;
  return value.As<Napi::String>().Utf8Value();
}

void* typedArrayData(const Napi::Value& value, napi_typedarray_type type, size_t* size) {
  napi_typedarray_type found;
  size_t length = 0;
  void* data = nullptr;
  *size = 1;  // without data: not the expected kind of array
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(value.Env(), value, &found, &length, &data, nullptr, nullptr) != napi_ok ||
      found != type)
    return nullptr;
  *size = length;
  return data;
}

bool toIntegers(const Napi::Value& value, std::vector<int32_t>& out) {
  if (auto view = toView<int32_t>(value)) {
    out.assign(view->data, view->data + view->size);
    return true;
  }
  if (!value.IsArray()) return false;
  auto array = value.As<Napi::Array>();
  uint32_t n = array.Length();
  out.resize(n);
  for (uint32_t i = 0; i < n; i++) {
    auto element = toInteger(array.Get(i));
    if (!element) return false;
    out[i] = *element;
  }
  return true;
}

namespace {
const char* const INTEGERS = "an Int32Array or an array of integers";

[[noreturn]] void mismatch(const std::string& name, const std::string& expected, const Napi::Value& found) {
  throw std::invalid_argument(name + ": expected " + expected + ", found " + describe(found));
}
}  // namespace

// ---- fields

Fields::Fields(const Napi::Value& value, const char* name, const Fields* parent, int64_t index)
    : name_(name), parent_(parent), index_(index) {
  if (!value.IsObject()) mismatch(path(), "an object", value);
  object_ = value.As<Napi::Object>();
}

std::string Fields::path() const {
  std::string text = parent_ ? parent_->path() + "." + name_ : name_;
  if (index_ >= 0) text += "[" + std::to_string(index_) + "]";
  return text;
}

void Fields::fail(const char* key, const char* expected, const Napi::Value& found) const {
  mismatch(path() + "." + key, expected, found);
}

void Fields::failLength(const char* key, size_t expected, size_t found) const {
  throw std::invalid_argument(path() + "." + key + ": expected " + std::to_string(expected) + " elements, found " +
                              std::to_string(found));
}

bool Fields::has(const char* key) const {
  Napi::Value value = get(key);
  return !value.IsUndefined() && !value.IsNull();
}

double Fields::number(const char* key) const {
  Napi::Value value = get(key);
  auto number = toNumber(value);
  if (!number) fail(key, "a number", value);
  return *number;
}

int32_t Fields::integer(const char* key) const {
  Napi::Value value = get(key);
  auto number = toInteger(value);
  if (!number) fail(key, "an integer", value);
  return *number;
}

int64_t Fields::safeInteger(const char* key) const {
  Napi::Value value = get(key);
  auto number = toNumber(value);
  constexpr double LARGEST = 9007199254740991;
  if (!number || !(std::fabs(*number) <= LARGEST) || *number != std::trunc(*number))
    fail(key, "an integer of at most 53 bits", value);
  return int64_t(*number);
}

bool Fields::flag(const char* key) const {
  Napi::Value value = get(key);
  if (!value.IsBoolean()) fail(key, "a boolean", value);
  return value.As<Napi::Boolean>();
}

std::string Fields::text(const char* key) const {
  Napi::Value value = get(key);
  auto text = toText(value);
  if (!text) fail(key, "a string", value);
  return *text;
}

std::string Fields::optionalText(const char* key) const { return has(key) ? text(key) : std::string(); }

std::vector<int32_t> Fields::integers(const char* key) const {
  Napi::Value value = get(key);
  std::vector<int32_t> out;
  if (!toIntegers(value, out)) fail(key, INTEGERS, value);
  return out;
}

Elements Fields::elements(const char* key) const { return {get(key), key, this}; }

std::vector<std::string> Fields::keys() const {
  Napi::Array names = object_.GetPropertyNames();
  std::vector<std::string> out;
  for (uint32_t i = 0; i < names.Length(); i++) out.push_back(names.Get(i).ToString());
  return out;
}

Elements::Elements(const Napi::Value& value, const char* name, const Fields* parent) : name_(name), parent_(parent) {
  if (!value.IsArray()) mismatch(parent ? parent->path() + "." + name : name, "an array", value);
  array_ = value.As<Napi::Object>();
  size_ = value.As<Napi::Array>().Length();
}

// ---- arguments

void Arguments::fail(size_t i, const char* name, const std::string& expected) const {
  mismatch(std::string(method_) + ": " + name, expected, info_[i]);
}

double Arguments::number(size_t i, const char* name) const {
  auto number = toNumber(info_[i]);
  if (!number) fail(i, name, "a number");
  return *number;
}

int32_t Arguments::integer(size_t i, const char* name) const {
  auto number = toInteger(info_[i]);
  if (!number) fail(i, name, "an integer");
  return *number;
}

int32_t Arguments::integer(size_t i, const char* name, int32_t least, int32_t most) const {
  int32_t number = integer(i, name);
  if (number < least || number > most) fail(i, name, std::to_string(least) + " to " + std::to_string(most));
  return number;
}

bool Arguments::flag(size_t i, const char* name) const {
  if (!info_[i].IsBoolean()) fail(i, name, "a boolean");
  return info_[i].As<Napi::Boolean>();
}

std::string Arguments::text(size_t i, const char* name) const {
  auto text = toText(info_[i]);
  if (!text) fail(i, name, "a string");
  return *text;
}

std::vector<int32_t> Arguments::integers(size_t i, const char* name) const {
  std::vector<int32_t> out;
  if (!toIntegers(info_[i], out)) fail(i, name, INTEGERS);
  return out;
}

// ---- to JavaScript

Napi::Int32Array toArray(Napi::Env env, const int32_t* values, size_t n) {
  auto array = Napi::Int32Array::New(env, n);
  std::copy_n(values, n, array.Data());
  return array;
}

Napi::Float32Array toArray(Napi::Env env, const float* values, size_t n) {
  auto array = Napi::Float32Array::New(env, n);
  std::copy_n(values, n, array.Data());
  return array;
}

}  // namespace idlm
