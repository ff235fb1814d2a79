// A promise settled by work on another thread. If the environment ends meanwhile (worker.terminate(), process.exit()),
// Node.js waits for the work, then calls `complete` in an environment that cannot run JavaScript. The promise is not
// settled then, but the task's resources are released.
#pragma once
#include <napi.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "addon/guarded.h"
#include "addon/values.h"

namespace idlm {

// False in an environment that is ending, where Node-API rejects calls that may run JavaScript.
inline bool runsJavaScript(napi_env env) {
  napi_value probe;
  return napi_create_object(env, &probe) == napi_ok && napi_set_named_property(env, probe, "probe", probe) == napi_ok;
}

template <class Result>
class Task {
 public:
  using Work = std::function<Result()>;                                 // on another thread
  using ToJavaScript = std::function<Napi::Value(Napi::Env, Result&)>;  // on the event loop
  using Done = std::function<void()>;  // on the event loop before the promise settles, even if it cannot settle

  // `holds`: objects to keep alive until the work has ended.
  static Napi::Promise start(Napi::Env env, Holds holds, Work work, ToJavaScript finish, Done done = nullptr) {
    std::unique_ptr<Task> task(new Task(env, std::move(holds), std::move(work), std::move(finish), std::move(done)));
    napi_value promise;
    if (napi_create_promise(env, &task->deferred_, &promise) != napi_ok ||
        napi_create_async_work(env, nullptr, Napi::String::New(env, "idlm"), execute, complete, task.get(),
                               &task->handle_) != napi_ok ||
        napi_queue_async_work(env, task->handle_) != napi_ok)
      throw Napi::Error::New(env);
    task.release();
    return Napi::Promise(env, promise);
  }
  ~Task() {
    if (handle_) napi_delete_async_work(env_, handle_);
  }

 private:
  Task(Napi::Env env, Holds holds, Work work, ToJavaScript finish, Done done)
      : env_(env),
        holds_(std::move(holds)),
        work_(std::move(work)),
        finish_(std::move(finish)),
        done_(std::move(done)) {}

  static void execute(napi_env, void* data) {
    Task& task = *static_cast<Task*>(data);
    try {
      task.result_ = task.work_();
    } catch (const std::exception& e) {
      task.error_ = messageOf(e);
    }
  }

  static void complete(napi_env env, napi_status, void* data) {
    std::unique_ptr<Task> task(static_cast<Task*>(data));
    Napi::HandleScope scope(env);
    if (task->done_) task->done_();
    if (!runsJavaScript(env)) return;
    // The environment may start to end at any point here, so statuses are ignored.
    try {
      if (task->result_)
        napi_resolve_deferred(env, task->deferred_, task->finish_(env, *task->result_));
      else
        napi_reject_deferred(env, task->deferred_, Napi::Error::New(env, task->error_).Value());
    } catch (const Napi::Error& error) {
      napi_reject_deferred(env, task->deferred_, error.Value());
    } catch (const std::exception& e) {
      napi_reject_deferred(env, task->deferred_, Napi::Error::New(env, messageOf(e)).Value());
    }
  }

  napi_env env_;
  napi_async_work handle_ = nullptr;
  napi_deferred deferred_ = nullptr;
  Holds holds_;
  Work work_;
  ToJavaScript finish_;
  Done done_;
  std::optional<Result> result_;
  std::string error_ = "unknown error";
};

}  // namespace idlm
