// State of the addon for one environment (the main thread or a worker thread), as Node-API's instance data. There is no
// global state.
#pragma once
#include <napi.h>

#include <memory>

#include "addon/file_mapping.h"

namespace idlm {

struct Instance {
  // Constructors of classes that methods return.
  Napi::FunctionReference model, cache, trainer;
  std::shared_ptr<FileMappings> files = std::make_shared<FileMappings>();

  static Instance& of(Napi::Env env) { return *env.GetInstanceData<Instance>(); }
};

}  // namespace idlm
