#include "python_handler.h"

#include <pybind11/stl.h>

#include "timestamp.h"

namespace rk::py {

namespace py = pybind11;

PythonHandler::PythonHandler(py::object callable, py::object state, const std::vector<py::type>& accepts,
                             py::object on_error, py::object resolve)
    : callable_(std::move(callable)), state_(std::move(state)), on_error_(std::move(on_error)), accepts_(accepts) {
  for (const py::type& type : accepts_) {
    const LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(type.ptr()));
    if (layout == nullptr) throw py::error_already_set();
    type_ids_.push_back(layout->layout->type_id);
  }
  context_object_ = py::cast(new ContextBox(std::move(resolve)), py::return_value_policy::take_ownership);
  context_ = context_object_.cast<ContextBox*>();
  last_error_ = py::none();
}

// May run on any thread, and after the interpreter is gone: then the objects are left to the process's end.
PythonHandler::~PythonHandler() {
  const bool finalizing = Py_IsInitialized() == 0 || interpreter_is_ending();
  const PyGILState_STATE gil = finalizing ? PyGILState_UNLOCKED : PyGILState_Ensure();
  py::object* owned[] = {&callable_, &state_, &on_error_, &context_object_, &last_error_};
  for (py::object* object : owned) {
    PyObject* pointer = object->release().ptr();
    if (!finalizing) Py_XDECREF(pointer);
  }
  for (auto& [id, error] : errors_) {
    PyObject* pointer = error.release().ptr();
    if (!finalizing) Py_XDECREF(pointer);
  }
  for (py::type& type : accepts_) {
    PyObject* pointer = type.release().ptr();
    if (!finalizing) Py_XDECREF(pointer);
  }
  if (!finalizing) PyGILState_Release(gil);
}

void PythonHandler::worker_begins(KernelContext&) {
  gil_state_ = PyGILState_Ensure();
  worker_state_ = PyThreadState_Get();
  thread_state_ = PyEval_SaveThread();
}

void PythonHandler::worker_ends() {
  PyEval_RestoreThread(thread_state_);
  worker_state_ = nullptr;
  // No call will come any more. What they refer to may refer to the runtime, and nobody could collect that cycle.
  callable_ = py::none();
  on_error_ = py::none();
  context_->resolve = py::none();
  PyGILState_Release(static_cast<PyGILState_STATE>(gil_state_));
}

PyTypeObject* PythonHandler::accepted(std::uint32_t type_id) const {
  for (std::size_t i = 0; i < type_ids_.size(); ++i) {
    if (type_ids_[i] == type_id) return reinterpret_cast<PyTypeObject*>(accepts_[i].ptr());
  }
  return nullptr;
}

bool PythonHandler::accepts(PyTypeObject* type) const {
  for (const py::type& one : accepts_) {
    if (reinterpret_cast<PyTypeObject*>(one.ptr()) == type) return true;
  }
  return false;
}

Outcome PythonHandler::handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) {
  PyTypeObject* type = accepted(header.type_id);
  if (type == nullptr) {
    raise("WrongMessageError", "this handler does not accept type id 0x%08x", header.type_id);
    return fail(header.message_id, Outcome::kRefused);
  }
  const LayoutObject* layout = layout_of(type);
  MessageObject* message = layout != nullptr ? new_message(type, *layout, payload) : nullptr;
  if (message == nullptr) return fail(header.message_id);
  message->store_header(header);
  context_->current = &context;
  context_->thread = PyThread_get_thread_ident();
  PyObject* result = call(message);
  Py_DECREF(message);
  const Outcome outcome = result != nullptr ? finish(context, result) : fail(header.message_id);
  context_->current = nullptr;
  return outcome;
}

PyObject* PythonHandler::call(MessageObject* message) {
  PyObject* args[3] = {context_object_.ptr(), reinterpret_cast<PyObject*>(message), nullptr};
  if (state_.is_none()) return PyObject_Vectorcall(callable_.ptr(), args, 2, nullptr);
  args[1] = state_.ptr();
  args[2] = reinterpret_cast<PyObject*>(message);
  return PyObject_Vectorcall(callable_.ptr(), args, 3, nullptr);
}

// context.cc
Status reply_with(KernelContext& context, MessageObject* message, const LayoutObject& layout);
void raise_not_sent(Status status, const char* what, std::uint32_t bytes);

Outcome PythonHandler::finish(KernelContext& context, PyObject* result) {
  const py::object owned = py::reinterpret_steal<py::object>(result);
  if (result == Py_None) return Outcome::kHandled;
  if (!is_message(result)) {
    raise("HandlerSignatureError", "the handler returned %s, need a message or None", Py_TYPE(result)->tp_name);
    return fail(context.header().message_id);
  }
  auto* message = reinterpret_cast<MessageObject*>(result);
  const LayoutObject* layout = layout_of(Py_TYPE(result));
  if (layout == nullptr || !alive(message)) return fail(context.header().message_id);
  const Status status = reply_with(context, message, *layout);
  if (status == Status::kOk || status == Status::kClosed) return Outcome::kHandled;  // who asked is gone
  raise_not_sent(status, "the reply", layout->layout->size);
  return fail(context.header().message_id);
}

// Keeps the exception with its traceback, and tells whoever wants to know. A handler's exception never leaves here,
// whatever its class.
Outcome PythonHandler::fail(std::uint64_t message_id, Outcome outcome) {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr && value != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  last_error_ = py::reinterpret_steal<py::object>(value);
  errors_.emplace_back(message_id, last_error_);
  if (errors_.size() > 256) errors_.pop_front();
  PyObject* told = PyObject_CallOneArg(on_error_.ptr(), last_error_.ptr());
  if (told == nullptr) PyErr_Clear();  // logging must not break the loop
  Py_XDECREF(told);
  return outcome;
}

py::object PythonHandler::take_error(std::uint64_t message_id) {
  for (auto entry = errors_.begin(); entry != errors_.end(); ++entry) {
    if (entry->first != message_id) continue;
    py::object error = std::move(entry->second);
    errors_.erase(entry);
    return error;
  }
  return py::none();
}

}  // namespace rk::py
