// What ask() returns: waited for, awaited, or given a callback.
#include <pybind11/pybind11.h>
#include <structmember.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "ask_port.h"
#include "kernel_box.h"
#include "ring_box.h"

namespace rk::py {

namespace py = pybind11;

enum class OperationState : std::uint8_t { kPending, kDone, kCancelled };

// Protection: the GIL.
struct OperationObject {
  PyObject_HEAD std::uint64_t id;
  OperationState state;
  bool blocking;        // _asyncio_future_blocking: a task is about to wait for it
  PyObject* kernel;     // the core's Kernel
  PyObject* port;       // the AskPort
  PyObject* reply;      // of a done one; or
  PyObject* error;      // an exception
  PyObject* callbacks;  // list of (callable, context, None, or Ellipsis: called where it is completed), or nullptr
  PyObject* weak_references;
};

namespace {

extern PyTypeObject OperationType;

AskPort& port_of(const OperationObject* op) { return *py::handle(op->port).cast<AskPort*>(); }

PyObject* fetch_exception() {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return value;
}

bool is_closed(const py::object& loop) {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject* answer = PyObject_CallMethod(loop.ptr(), "is_closed", nullptr);
  const bool closed = answer == Py_True;
  if (answer == nullptr) PyErr_Clear();
  Py_XDECREF(answer);
  PyErr_Restore(type, value, traceback);
  return closed;
}

void call_one(OperationObject* op, PyObject* callback, PyObject* context) {
  PyObject* answer = nullptr;
  AskPort& port = port_of(op);
  const py::object loop = port.loop();
  if (loop.is_none() || context == Py_Ellipsis) {
    answer = PyObject_CallOneArg(callback, reinterpret_cast<PyObject*>(op));
  } else {
    static PyObject* soon = PyUnicode_InternFromString("call_soon");
    static PyObject* from_thread = PyUnicode_InternFromString("call_soon_threadsafe");
    static PyObject* names = Py_BuildValue("(s)", "context");
    PyObject* args[4] = {loop.ptr(), callback, reinterpret_cast<PyObject*>(op), context};
    answer = PyObject_VectorcallMethod(port.on_own_thread() ? soon : from_thread, args, 3,
                                       context != Py_None ? names : nullptr);
  }
  if (answer == nullptr && !loop.is_none() && is_closed(loop)) {
    PyErr_Clear();  // nobody is left to be told
  } else if (answer == nullptr) {
    PyErr_WriteUnraisable(callback);
  }
  Py_XDECREF(answer);
}

// It is done or cancelled: whoever waits is told.
void announce(OperationObject* op) {
  PyObject* callbacks = std::exchange(op->callbacks, nullptr);
  if (callbacks == nullptr) return;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callbacks); ++i) {
    PyObject* entry = PyList_GET_ITEM(callbacks, i);
    call_one(op, PyTuple_GET_ITEM(entry, 0), PyTuple_GET_ITEM(entry, 1));
  }
  Py_DECREF(callbacks);
}

}  // namespace

KernelBox& kernel_of(const OperationObject* op) {
  return *static_cast<KernelBox*>(reinterpret_cast<py::detail::instance*>(op->kernel)->simple_value_holder[0]);
}

void complete(OperationObject* op, PyObject* reply) {
  PyObject* error = reply == nullptr ? fetch_exception() : nullptr;
  if (op->state != OperationState::kPending) {  // cancelled while its reply was made, which may run any code
    Py_XDECREF(reply);
    Py_XDECREF(error);
    return;
  }
  op->state = OperationState::kDone;
  op->reply = reply;
  op->error = error;
  announce(op);
}

// -- ask --------------------------------------------------------------------------------------------------------------

namespace {

constexpr std::size_t kTakeEvery = 256;  // operations that are pending

PyObject* raise_not_asked(const KernelBox& box, Status status) {
  const char* name = box.kernel->name().c_str();
  if (status == Status::kClosed) return raise_gone(box);
  if (status == Status::kNoMemory) return raise("RingMemoryError", "kernel '%s': no memory for a ring", name);
  return raise("RingFullError", "the inbox of kernel '%s' is full: await earlier operations first, or use send()",
               name);
}

}  // namespace

PyObject* ask(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  KernelBox* box = kernel_box(self);
  SendOptions options;
  MessageHeader header;
  if (box == nullptr || !parse_send(*box, args, count, names, " instance priority deadline message_id ", &options) ||
      !prepare(*box, args[0], kFlagWantsReply, options, &header)) {
    return nullptr;
  }
  AskPort* port = box->asks->here();
  if (port == nullptr) return nullptr;
  auto* message = reinterpret_cast<MessageObject*>(args[0]);
  auto* op = PyObject_GC_New(OperationObject, &OperationType);
  if (op == nullptr) return nullptr;
  std::memset(reinterpret_cast<char*>(op) + sizeof(PyObject), 0, sizeof(OperationObject) - sizeof(PyObject));
  op->id = header.message_id;
  Py_INCREF(self);
  op->kernel = self;
  op->port = py::detail::get_object_handle(port, py::detail::get_type_info(typeid(AskPort))).inc_ref().ptr();
  PyObject_GC_Track(reinterpret_cast<PyObject*>(op));
  if (!port->expect(op->id, op)) {
    Py_DECREF(op);
    return raise("InvalidArgumentError",
                 "message_id: an operation with the id %llu is pending: choose another, or none",
                 static_cast<unsigned long long>(header.message_id));
  }
  Py_INCREF(op);
  const std::uint32_t instance = instance_for(*box, options, header, *message);
  const Status status = box->kernel->try_send(header, message->payload, instance, port->address());
  if (status == Status::kOk) {
    message->store_header(header);
    // Who only asks must not stop the kernel, which waits when nobody takes its replies.
    if (port->pending() % kTakeEvery == 0) port->drain();
    return reinterpret_cast<PyObject*>(op);
  }
  if (port->forget(op->id, op)) Py_DECREF(op);
  Py_DECREF(op);
  if (status == Status::kFull) port->drain();
  return raise_not_asked(*box, status);
}

namespace {

// -- the object -------------------------------------------------------------------------------------------------------

OperationObject* as_op(PyObject* self) { return reinterpret_cast<OperationObject*>(self); }

int op_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(as_op(self)->kernel);
  Py_VISIT(as_op(self)->port);
  Py_VISIT(as_op(self)->reply);
  Py_VISIT(as_op(self)->error);
  Py_VISIT(as_op(self)->callbacks);
  return 0;
}

int op_clear(PyObject* self) {
  Py_CLEAR(as_op(self)->callbacks);
  Py_CLEAR(as_op(self)->error);
  Py_CLEAR(as_op(self)->reply);
  return 0;
}

void op_dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  if (as_op(self)->weak_references != nullptr) PyObject_ClearWeakRefs(self);
  op_clear(self);
  Py_CLEAR(as_op(self)->port);
  Py_CLEAR(as_op(self)->kernel);
  PyObject_GC_Del(self);
}

PyObject* asyncio_cancelled_error() {
  PyObject* module = PyImport_ImportModule("asyncio.exceptions");
  PyObject* error = module != nullptr ? PyObject_CallMethod(module, "CancelledError", nullptr) : nullptr;
  Py_XDECREF(module);
  return error;
}

// What a cancelled operation raises: in a loop's thread what its tasks understand.
PyObject* raise_cancelled(OperationObject* op) {
  const AskPort& port = port_of(op);
  if (!port.has_loop() || !port.on_own_thread()) {
    return raise("OperationCancelledError", "operation %llu was cancelled", static_cast<unsigned long long>(op->id));
  }
  PyObject* error = asyncio_cancelled_error();
  if (error != nullptr) PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error)), error);
  Py_XDECREF(error);
  return nullptr;
}

PyObject* outcome(OperationObject* op) {
  if (op->state == OperationState::kCancelled) return raise_cancelled(op);
  if (op->error != nullptr) {
    PyException_SetTraceback(op->error, Py_None);  // each raise begins anew, or it would grow
    Py_INCREF(op->error);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(op->error)), op->error);
    Py_DECREF(op->error);
    return nullptr;
  }
  Py_INCREF(op->reply);
  return op->reply;
}

bool settle(OperationObject* op, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  PyObject* timeout = nullptr;
  std::uint64_t deadline = kNoDeadline;
  if (!parse_call(0, args, count, names, &timeout)) return false;
  if (timeout != nullptr && !parse_timeout(timeout, &deadline)) return false;
  if (op->state != OperationState::kPending) return true;
  if (!same_process(kernel_of(op).generation) || !may_wait_for(kernel_of(op), "result")) return false;
  AskPort& port = port_of(op);
  try {
    while (port.drain(), op->state == OperationState::kPending) {
      const int waited = port.wait(deadline);
      if (waited < 0) return false;
      if (waited == 0 && (port.drain(), op->state == OperationState::kPending)) {
        raise("CallTimeoutError", "kernel '%s' did not reply within %S s; the operation is still pending",
              kernel_of(op).kernel->name().c_str(), timeout);
        return false;
      }
    }
  } catch (py::error_already_set& error) {
    error.restore();
    return false;
  }
  return true;
}

PyObject* op_result(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  return settle(as_op(self), args, count, names) ? outcome(as_op(self)) : nullptr;
}

PyObject* op_exception(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  OperationObject* op = as_op(self);
  if (!settle(op, args, count, names)) return nullptr;
  if (op->state == OperationState::kCancelled) return raise_cancelled(op);
  PyObject* error = op->error != nullptr ? op->error : Py_None;
  Py_INCREF(error);
  return error;
}

PyObject* op_done(PyObject* self, PyObject*) {
  OperationObject* op = as_op(self);
  if (op->state == OperationState::kPending && !port_of(op).drained_by_loop()) port_of(op).drain();  // who else would?
  return PyBool_FromLong(op->state != OperationState::kPending);
}
PyObject* op_cancelled(PyObject* self, PyObject*) {
  return PyBool_FromLong(as_op(self)->state == OperationState::kCancelled);
}

// cancel(msg=None), as a task calls it.
PyObject* op_cancel(PyObject* self, PyObject* const*, Py_ssize_t, PyObject*) {
  OperationObject* op = as_op(self);
  if (op->state != OperationState::kPending) Py_RETURN_FALSE;
  op->state = OperationState::kCancelled;
  const bool held = port_of(op).forget(op->id, op);  // not when its reply is being made just now
  announce(op);
  port_of(op).tell_who_waits();
  if (held) Py_DECREF(op);
  Py_RETURN_TRUE;
}

// Nobody may be waiting: one thread completes what has callbacks.
PyObject* complete_by_thread(OperationObject* op) {
  PyObject* module = PyImport_ImportModule("pyringkernel._asyncio");
  PyObject* answer = module != nullptr ? PyObject_CallMethod(module, "complete", "O", op->port) : nullptr;
  Py_XDECREF(module);
  return answer;
}

bool add_callback(OperationObject* op, PyObject* callback, PyObject* context) {
  if (!same_process(kernel_of(op).generation)) return false;
  if (op->callbacks == nullptr && (op->callbacks = PyList_New(0)) == nullptr) return false;
  PyObject* entry = PyTuple_Pack(2, callback, context);
  const int appended = entry != nullptr ? PyList_Append(op->callbacks, entry) : -1;
  Py_XDECREF(entry);
  return appended == 0;
}

PyObject* op_add_done_callback(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  OperationObject* op = as_op(self);
  const Py_ssize_t named = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  const bool good = count == 1 && named <= 1 &&
                    (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "context") == 0);
  if (!good || PyCallable_Check(args[0]) == 0) {
    PyErr_SetString(PyExc_TypeError, "add_done_callback(callback, *, context=None): need a callable");
    return nullptr;
  }
  PyObject* context = named == 1 ? args[1] : Py_None;
  if (op->state != OperationState::kPending) {
    call_one(op, args[0], context);
    Py_RETURN_NONE;
  }
  if (!add_callback(op, args[0], context)) return nullptr;
  if (port_of(op).drained_by_loop()) Py_RETURN_NONE;
  return complete_by_thread(op);
}

// _when_done(callback): the same for the bridge to another loop, called where the operation is completed.
PyObject* op_when_done(PyObject* self, PyObject* callback) {
  OperationObject* op = as_op(self);
  if (op->state != OperationState::kPending) return PyObject_CallOneArg(callback, self);
  if (!add_callback(op, callback, Py_Ellipsis)) return nullptr;
  if (port_of(op).drained_by_loop()) {
    const py::object loop = port_of(op).loop();
    PyObject* runs = PyObject_CallMethod(loop.ptr(), "is_running", nullptr);
    if (runs != Py_False) return runs;
    Py_DECREF(runs);
  }
  return complete_by_thread(op);
}

// To compare runs any code: the list may be announced and gone meanwhile.
PyObject* op_remove_done_callback(PyObject* self, PyObject* callback) {
  const auto list = py::reinterpret_borrow<py::object>(as_op(self)->callbacks);
  Py_ssize_t removed = 0;
  for (Py_ssize_t i = list ? PyList_GET_SIZE(list.ptr()) : 0; i-- > 0;) {
    if (i >= PyList_GET_SIZE(list.ptr())) continue;
    const auto entry = py::reinterpret_borrow<py::object>(PyList_GET_ITEM(list.ptr(), i));
    const int same = PyObject_RichCompareBool(PyTuple_GET_ITEM(entry.ptr(), 0), callback, Py_EQ);
    if (same < 0) return nullptr;
    if (same == 0 || i >= PyList_GET_SIZE(list.ptr()) || PyList_GET_ITEM(list.ptr(), i) != entry.ptr()) continue;
    if (PyList_SetSlice(list.ptr(), i, i + 1, nullptr) != 0) return nullptr;
    ++removed;
  }
  return PyLong_FromSsize_t(removed);
}

PyObject* op_get_loop(PyObject* self, PyObject*) {
  const py::object loop = port_of(as_op(self)).loop();
  if (!loop.is_none()) return py::object(loop).release().ptr();
  return raise("UnsupportedError",
               "operation %llu was asked outside of this event loop: await it inside a coroutine, and "
               "give that to asyncio",
               static_cast<unsigned long long>(as_op(self)->id));
}

// As a future of the loop that it was asked in, here? -1: error set.
int awaits_here(const OperationObject* op) {
  const AskPort& port = port_of(op);
  if (!port.has_loop() || !port.on_own_thread()) return 0;
  const py::object loop = running_loop();
  return !loop ? -1 : loop.is(port.loop()) ? 1 : 0;
}

// Here and now if it is done; else as a future of the loop that it was asked in; else through a future of this loop.
PyObject* op_await(PyObject* self) {
  OperationObject* op = as_op(self);
  if (op->state == OperationState::kPending) {
    if (!same_process(kernel_of(op).generation)) return nullptr;
    const int here = awaits_here(op);
    if (here < 0) return nullptr;
    if (here == 0) {
      PyObject* module = PyImport_ImportModule("pyringkernel._asyncio");
      PyObject* iterator = module != nullptr ? PyObject_CallMethod(module, "bridge", "O", self) : nullptr;
      Py_XDECREF(module);
      return iterator;
    }
    port_of(op).glance();
  }
  Py_INCREF(self);
  return self;
}

PyObject* op_next(PyObject* self) {
  OperationObject* op = as_op(self);
  if (op->state == OperationState::kPending) {
    op->blocking = true;
    Py_INCREF(self);
    return self;
  }
  PyObject* value = outcome(op);
  if (value != nullptr) PyErr_SetObject(PyExc_StopIteration, value);
  Py_XDECREF(value);
  return nullptr;
}

PyObject* op_repr(PyObject* self) {
  const OperationObject* op = as_op(self);
  const char* state = op->state == OperationState::kPending     ? "pending"
                      : op->state == OperationState::kCancelled ? "cancelled"
                      : op->error != nullptr                    ? "failed"
                                                                : "done";
  return PyUnicode_FromFormat("<Operation %llu to '%s' %s>", static_cast<unsigned long long>(op->id),
                              kernel_of(op).kernel->name().c_str(), state);
}

PyObject* get_blocking(PyObject* self, void*) { return PyBool_FromLong(as_op(self)->blocking); }
int set_blocking(PyObject* self, PyObject* value, void*) {
  const int truth = value != nullptr ? PyObject_IsTrue(value) : 0;
  if (truth < 0) return -1;
  as_op(self)->blocking = truth != 0;
  return 0;
}
PyObject* get_cancel_message(PyObject*, void*) { Py_RETURN_NONE; }
PyObject* op_make_cancelled_error(PyObject*, PyObject*) { return asyncio_cancelled_error(); }
PyObject* get_id(PyObject* self, void*) { return PyLong_FromUnsignedLongLong(as_op(self)->id); }

template <class Function>
PyCFunction as_method(Function* function) {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

constexpr int kFastKeywords = METH_FASTCALL | METH_KEYWORDS;
PyMethodDef kOpMethods[] = {
    {"result", as_method(op_result), kFastKeywords,
     "result(timeout=None)\n\nThe reply. Raises CallTimeoutError (it stays pending), HandlerError, "
     "DeadlineExpiredError, "
     "KernelTerminatedError, KernelFailedError, KernelHungError, OperationCancelledError."},
    {"exception", as_method(op_exception), kFastKeywords,
     "exception(timeout=None)\n\nWhat result() would raise, or None."},
    {"done", op_done, METH_NOARGS, "True when it has a result, an error, or was cancelled."},
    {"cancelled", op_cancelled, METH_NOARGS, "True when it was cancelled."},
    {"cancel", as_method(op_cancel), kFastKeywords,
     "cancel() -> bool\n\nNobody wants the reply any more. The message is handled all the same."},
    {"add_done_callback", as_method(op_add_done_callback), kFastKeywords,
     "add_done_callback(callback, *, context=None)\n\ncallback(operation) when it is done; at once when it is."},
    {"remove_done_callback", op_remove_done_callback, METH_O, "Returns how many were removed."},
    {"get_loop", op_get_loop, METH_NOARGS,
     "The event loop that it was asked in. Raises UnsupportedError when there was none, or it is gone."},
    {"_when_done", op_when_done, METH_O, "callback(operation) when it is done, where it is completed."},
    {"_make_cancelled_error", op_make_cancelled_error, METH_NOARGS, "As asyncio.Future has it, for gather()."},
    {nullptr, nullptr, 0, nullptr},
};

PyGetSetDef kOpProperties[] = {
    {"_asyncio_future_blocking", get_blocking, set_blocking, nullptr, nullptr},
    {"_cancel_message", get_cancel_message, nullptr, nullptr, nullptr},
    {"message_id", get_id, nullptr, "The id that the asked message has.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyAsyncMethods kOpAsync = {op_await, nullptr, nullptr, nullptr};
PyTypeObject OperationType = blank_type();

}  // namespace

void bind_operations(py::module_& module) {
  OperationType.tp_name = "pyringkernel._core.Operation";
  OperationType.tp_doc = "An asked message and its reply: .result(timeout), await, or .add_done_callback(f).";
  OperationType.tp_basicsize = sizeof(OperationObject);
  OperationType.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC;
  OperationType.tp_dealloc = op_dealloc;
  OperationType.tp_traverse = op_traverse;
  OperationType.tp_clear = op_clear;
  OperationType.tp_repr = op_repr;
  OperationType.tp_iter = PyObject_SelfIter;
  OperationType.tp_iternext = op_next;
  OperationType.tp_as_async = &kOpAsync;
  OperationType.tp_methods = kOpMethods;
  OperationType.tp_getset = kOpProperties;
  OperationType.tp_weaklistoffset = offsetof(OperationObject, weak_references);
  if (PyType_Ready(&OperationType) != 0) throw py::error_already_set();
  module.attr("Operation") = py::handle(reinterpret_cast<PyObject*>(&OperationType));
  py::class_<AskPort>(module, "AskPort")
      .def("drain", &AskPort::drain)
      .def("retire", &AskPort::retire)
      .def("wait",
           [](AskPort& port, double seconds) {
             const int waited = port.wait(HostAtomics::monotonic_ns() + static_cast<std::uint64_t>(seconds * 1e9));
             if (waited < 0) throw py::error_already_set();
             return waited == 1;
           })
      .def_property_readonly("pending", &AskPort::pending)
      .def_property_readonly("fd", &AskPort::event);
}

}  // namespace rk::py
