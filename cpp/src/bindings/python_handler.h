// A Python callable as a handler: one thread state for the worker's life, the GIL held only while messages are handled.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

#include "message_object.h"
#include "ringkernel/runtime/handler.h"

namespace rk::py {

// What `ctx` is in a handler. `current` is set while a handler runs; a context kept beyond that is refused.
struct ContextBox : Initialised {
  explicit ContextBox(pybind11::object resolver) : resolve(std::move(resolver)) {}
  KernelContext* current = nullptr;
  unsigned long thread = 0;  // the worker: nobody else may send on its behalf
  pybind11::object resolve;  // name -> address word
};

// Protection: everything: the GIL.
class PythonHandler final : public Handler {
 public:
  // `accepts`: message classes; `state`: a message-like object, or None when the callable takes none.
  PythonHandler(pybind11::object callable, pybind11::object state, const std::vector<pybind11::type>& accepts,
                pybind11::object on_error, pybind11::object resolve);
  ~PythonHandler() override;

  void worker_begins(KernelContext& context) override;
  void worker_ends() override;
  void batch_begins() override { PyEval_RestoreThread(thread_state_); }
  void batch_ends() override { thread_state_ = PyEval_SaveThread(); }
  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override;

  // The class for a type id that this handler accepts; nullptr: none.
  PyTypeObject* accepted(std::uint32_t type_id) const;
  bool accepts(PyTypeObject* type) const;
  const std::vector<pybind11::type>& accepted_types() const { return accepts_; }
  const pybind11::object& state() const { return state_; }

  // True on the worker's own thread: waiting there for this kernel would wait for ever. Needs the GIL.
  bool runs_here() const { return worker_state_ != nullptr && PyThreadState_Get() == worker_state_; }

  // The exception that handling `message_id` ended with, and forgets it; None when unknown.
  pybind11::object take_error(std::uint64_t message_id);
  const pybind11::object& last_error() const { return last_error_; }

 private:
  PyObject* call(MessageObject* message);
  Outcome finish(KernelContext& context, PyObject* result);
  Outcome fail(std::uint64_t message_id, Outcome outcome = Outcome::kFailed);

  pybind11::object callable_;
  pybind11::object state_;
  pybind11::object on_error_;
  std::vector<pybind11::type> accepts_;
  std::vector<std::uint32_t> type_ids_;
  ContextBox* context_ = nullptr;  // of context_object_
  pybind11::object context_object_;
  std::deque<std::pair<std::uint64_t, pybind11::object>> errors_;  // newest last, bounded
  pybind11::object last_error_;
  PyThreadState* thread_state_ = nullptr;
  PyThreadState* worker_state_ = nullptr;
  int gil_state_ = 0;
};

void bind_context(pybind11::module_& module);

}  // namespace rk::py
