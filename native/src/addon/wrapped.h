// Wrapped classes with type tags: an object of another class is rejected.
#pragma once
#include <napi.h>

namespace idlm {

template <class T>
class Wrapped : public Napi::ObjectWrap<T> {
 public:
  explicit Wrapped(const Napi::CallbackInfo& info) : Napi::ObjectWrap<T>(info) {
    info.This().template As<Napi::Object>().TypeTag(&T::TAG);
  }
  // Null if the value is not a T.
  static T* from(const Napi::Value& value) {
    if (!value.IsObject()) return nullptr;
    auto object = value.As<Napi::Object>();
    return object.CheckTypeTag(&T::TAG) ? T::Unwrap(object) : nullptr;
  }
};

}  // namespace idlm
