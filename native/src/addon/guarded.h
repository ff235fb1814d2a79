// Turns C++ exceptions into JavaScript exceptions.
#pragma once
#include <napi.h>

#include <exception>
#include <new>

namespace idlm {

// The message of the current exception.
inline const char* messageOf(const std::exception& e) {
  return dynamic_cast<const std::bad_alloc*>(&e) ? "not enough memory" : e.what();
}

template <class Fn>
auto guarded(Napi::Env env, Fn fn) -> decltype(fn()) {
  try {
    return fn();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& e) {
    throw Napi::Error::New(env, messageOf(e));
  }
}

}  // namespace idlm
