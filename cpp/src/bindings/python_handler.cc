#include "python_handler.h"

#include "ringkernel/runtime/scheduler.h"

#include <pybind11/stl.h>

#include "timestamp.h"

namespace rk::py {

namespace py = pybind11;

namespace {

struct WorkerThread {
  PyThreadState* state = nullptr;
  PyGILState_STATE gil = PyGILState_UNLOCKED;
  const PythonHandler* inside = nullptr;
};
constinit thread_local WorkerThread worker_thread;

}  // namespace

void WorkerGil::take() {
  if (worker_thread.state != nullptr) return PyEval_RestoreThread(worker_thread.state);
  worker_thread.gil = PyGILState_Ensure();
  worker_thread.state = PyThreadState_Get();
  Scheduler::before_thread_ends([] {
    if (interpreter_is_ending()) return;
    PyEval_RestoreThread(worker_thread.state);
    worker_thread.state = nullptr;
    PyGILState_Release(worker_thread.gil);
  });
}

void WorkerGil::give() { PyEval_SaveThread(); }

PythonHandler::PythonHandler(py::object callable, py::object state, const std::vector<py::type>& accepts,
                             py::object on_error, py::object resolve, std::uint32_t instances,
                             std::vector<std::vector<ReferenceField>> references)
    : callable_(std::move(callable)),
      initial_(std::move(state)),
      on_error_(std::move(on_error)),
      resolve_(std::move(resolve)),
      accepts_(accepts),
      references_(std::move(references)),
      instances_(instances) {
  for (const py::type& type : accepts_) {
    const LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(type.ptr()));
    if (layout == nullptr) throw py::error_already_set();
    type_ids_.push_back(layout->layout->type_id);
  }
}

// May run on any thread, and after the interpreter is gone: then the objects are left to the process's end.
PythonHandler::~PythonHandler() {
  const bool finalizing = Py_IsInitialized() == 0 || interpreter_is_ending();
  const PyGILState_STATE gil = finalizing ? PyGILState_UNLOCKED : PyGILState_Ensure();
  const auto drop = [finalizing](py::object& object) {
    PyObject* pointer = object.release().ptr();
    if (!finalizing) Py_XDECREF(pointer);
  };
  for (py::object* object : {&callable_, &initial_, &on_error_, &resolve_}) drop(*object);
  if (errors_) drop(errors_->all());
  for (py::type& type : accepts_) drop(type);
  for (auto& mine : instances_) {
    if (!mine) continue;
    drop(mine->state);
    drop(mine->context);
  }
  if (!finalizing) PyGILState_Release(gil);
}

PythonHandler::Instance& PythonHandler::instance(std::uint32_t index) {
  std::unique_ptr<Instance>& mine = instances_[index];
  if (mine) return *mine;
  auto made = std::make_unique<Instance>();
  made->state = initial_.is_none() ? py::none() : initial_.attr("copy")();
  made->context = py::cast(new ContextBox(resolve_), py::return_value_policy::take_ownership);
  made->box = made->context.cast<ContextBox*>();
  mine = std::move(made);
  return *mine;
}

void PythonHandler::batch_begins(std::uint32_t) {
  WorkerGil::take();
  worker_thread.inside = this;
}

void PythonHandler::batch_ends(std::uint32_t) {
  worker_thread.inside = nullptr;
  WorkerGil::give();
}

bool PythonHandler::runs_here() const { return worker_thread.inside == this; }

// No call will come any more. What they refer to may refer to the runtime, and nobody could collect that cycle.
void PythonHandler::ends() {
  if (Py_IsInitialized() == 0 || interpreter_is_ending()) return;
  const WorkerGil gil;
  callable_ = py::none();
  on_error_ = py::none();
  resolve_ = py::none();
  errors_.reset();
  for (auto& mine : instances_) {
    if (!mine) continue;
    mine->box->resolve = py::none();
    mine->box->last_target = py::object();
  }
}

void PythonHandler::restart(std::uint32_t index) {
  const WorkerGil gil;
  if (initial_.is_none() || !instances_[index]) return;
  const auto* initial = reinterpret_cast<MessageObject*>(initial_.ptr());
  auto* state = reinterpret_cast<MessageObject*>(instances_[index]->state.ptr());
  std::memcpy(state->payload, initial->payload, layout_of(Py_TYPE(initial_.ptr()))->layout->size);
}

py::object PythonHandler::state(std::uint32_t index) { return instance(index).state; }

std::span<std::byte> PythonHandler::state_of(std::uint32_t index) {
  const py::gil_scoped_acquire gil;
  if (initial_.is_none()) return {};
  auto* state = reinterpret_cast<MessageObject*>(instance(index).state.ptr());
  return {state->payload, layout_of(Py_TYPE(initial_.ptr()))->layout->size};
}

PyTypeObject* PythonHandler::accepted(std::uint32_t type_id) const {
  for (std::size_t i = 0; i < type_ids_.size(); ++i) {
    if (type_ids_[i] == type_id) return reinterpret_cast<PyTypeObject*>(accepts_[i].ptr());
  }
  return nullptr;
}

std::span<const ReferenceField> PythonHandler::references(std::uint32_t type_id) const {
  for (std::size_t i = 0; i < references_.size(); ++i) {
    if (type_ids_[i] == type_id) return references_[i];
  }
  return {};
}

Outcome PythonHandler::handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) {
  PyTypeObject* type = accepted(header.type_id);
  if (type == nullptr) {
    raise("WrongMessageError", "this handler does not accept type id 0x%08x", header.type_id);
    return fail(header.message_id, Outcome::kRefused);
  }
  const LayoutObject* layout = layout_of(type);
  if (layout != nullptr && layout->layout->size != header.payload_size) {
    raise("InvalidMessageError", "%s: found %u bytes, need %u", type->tp_name, header.payload_size,
          layout->layout->size);
    return fail(header.message_id, Outcome::kRefused);
  }
  BufferHolds holds;
  if (!holds.take(references(header.type_id), payload)) {
    raise("StaleReferenceError", "%s", BufferTable::explain(holds.problem(), *holds.field(), holds.culprit()).c_str());
    return fail(header.message_id, Outcome::kRefused);
  }
  MessageObject* message = layout != nullptr ? new_message(type, *layout, payload) : nullptr;
  if (message == nullptr) return fail(header.message_id);
  message->store_header(header);
  Instance& mine = instance(context.self().instance());
  mine.box->current = &context;
  mine.box->thread = PyThread_get_thread_ident();
  PyObject* result = call(mine, message);
  Py_DECREF(message);
  const Outcome outcome = result != nullptr ? finish(context, result) : fail(header.message_id);
  mine.box->current = nullptr;
  return outcome;
}

PyObject* PythonHandler::call(Instance& mine, MessageObject* message) {
  PyObject* args[3] = {mine.context.ptr(), reinterpret_cast<PyObject*>(message), nullptr};
  if (mine.state.is_none()) return PyObject_Vectorcall(callable_.ptr(), args, 2, nullptr);
  args[1] = mine.state.ptr();
  args[2] = reinterpret_cast<PyObject*>(message);
  return PyObject_Vectorcall(callable_.ptr(), args, 3, nullptr);
}

// context.cc
Outgoing outgoing(const MessageObject& message, const LayoutObject& layout);
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
  const Status status = context.reply(outgoing(*message, *layout));
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
  const auto error = py::reinterpret_steal<py::object>(value);
  errors_->add(message_id, error);
  PyObject* told = PyObject_CallOneArg(on_error_.ptr(), error.ptr());
  if (told == nullptr) PyErr_Clear();  // logging must not break the loop
  Py_XDECREF(told);
  return outcome;
}

std::string PythonHandler::error_text(std::uint32_t) {
  const py::object error = errors_->newest();
  if (error.is_none()) return {};
  PyObject* shown = PyObject_Repr(error.ptr());
  const char* text = shown != nullptr ? PyUnicode_AsUTF8(shown) : nullptr;
  std::string result = text != nullptr ? text : Py_TYPE(error.ptr())->tp_name;
  if (text == nullptr) PyErr_Clear();  // an exception that cannot even be shown
  Py_XDECREF(shown);
  return result;
}

}  // namespace rk::py
