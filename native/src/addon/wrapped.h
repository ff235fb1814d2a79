// Classes that JavaScript sees, told apart by type tags: an object of another class cannot be passed off as one.
#pragma once
#include <napi.h>

namespace idlm {

template <class T>
class Wrapped : public Napi::ObjectWrap<T> {
 public:
  explicit Wrapped(const Napi::CallbackInfo& info) : Napi::ObjectWrap<T>(info) {
    info.This().template As<Napi::Object>().TypeTag(&T::TAG);
  }
  // Null where the value is no T.
  static T* from(const Napi::Value& value) {
    if (!value.IsObject()) return nullptr;
    auto object = value.As<Napi::Object>();
    return object.CheckTypeTag(&T::TAG) ? T::Unwrap(object) : nullptr;
  }
};

}  // namespace idlm
