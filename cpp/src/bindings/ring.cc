// Rings in Python. The hot methods are plain C functions.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings.h"
#include "ring_box.h"

namespace rk::py {
namespace {

namespace py = pybind11;

// A readable view of what is pushed; bytes and messages without a detour through the buffer protocol.
class Source {
 public:
  Source() {}  // NOLINT: buffer_ stays as it is
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  ~Source() {
    if (holds_buffer_) PyBuffer_Release(&buffer_);
  }

  bool open(const RingBox& box, PyObject* data) {
    if (box.is_message) return open_message(box, data);
    if (box.is_dtype && !dtype_matches(box, data)) return false;
    if (PyBytes_CheckExact(data)) {
      bytes = PyBytes_AS_STRING(data);
      size = static_cast<std::size_t>(PyBytes_GET_SIZE(data));
    } else {
      if (PyObject_GetBuffer(data, &buffer_, PyBUF_C_CONTIGUOUS) != 0) return wrong_item(data);
      holds_buffer_ = true;
      bytes = buffer_.buf;
      size = static_cast<std::size_t>(buffer_.len);
    }
    return fits(box);
  }

  const void* bytes = nullptr;
  std::size_t size = 0;

 private:
  bool open_message(const RingBox& box, PyObject* data) {
    if (Py_TYPE(data) != box.message_type()) {
      raise("WrongItemError", "this ring holds %s, found %s", box.message_type()->tp_name, Py_TYPE(data)->tp_name);
      return false;
    }
    auto* message = reinterpret_cast<MessageObject*>(data);
    if (!alive(message)) return false;
    bytes = message->payload;
    size = box.ring.options().slot_size;
    return true;
  }

  // NumPy arrays and scalars say what they are; bytes are taken at their size.
  static bool dtype_matches(const RingBox& box, PyObject* data) {
    PyObject* dtype = PyObject_GetAttrString(data, "dtype");
    if (dtype == nullptr) return PyErr_Clear(), true;
    const int same = PyObject_RichCompareBool(dtype, box.item_type.ptr(), Py_EQ);
    if (same == 0) raise("WrongItemError", "this ring holds items of %R, found %R", box.item_type.ptr(), dtype);
    Py_DECREF(dtype);
    return same == 1;
  }

  bool fits(const RingBox& box) const {
    const std::uint64_t slot = box.ring.options().slot_size;
    if (box.is_dtype ? size == slot : size <= slot) return true;
    raise(box.is_dtype ? "WrongItemError" : "SlotTooSmallError",
          box.is_dtype ? "found %zu bytes, an item of this ring's dtype has %llu"
                       : "found %zu bytes, a slot of this ring holds %llu: make the ring with a larger slot_size",
          size, static_cast<unsigned long long>(slot));
    return false;
  }

  static bool wrong_item(PyObject* data) {
    PyErr_Clear();
    raise("WrongItemError", "found %s, need bytes or a C-contiguous buffer", Py_TYPE(data)->tp_name);
    return false;
  }

  bool holds_buffer_ = false;
  Py_buffer buffer_;  // valid while holds_buffer_; clearing its 80 bytes for each push would be felt
};

PyObject* raise_closed() { return raise("RingClosedError", "the ring is closed"); }

PyObject* raise_full(const RingBox& box) {
  return raise("RingFullError",
               "the ring is full (%llu messages): pop some, wait with timeout=, or choose an overflow policy",
               static_cast<unsigned long long>(box.ring.options().capacity));
}

// 1: pushed, 0: not (full until the deadline), -1: error set.
int push_until(RingBox& box, const Source& source, std::uint64_t deadline) {
  for (;;) {
    const Status status = box.ring.try_push(source.bytes, source.size);
    if (status == Status::kOk) return 1;
    if (status == Status::kClosed) return raise_closed(), -1;
    if (deadline == 0) return 0;
    const int waited = wait_interruptibly(deadline, [&](std::uint64_t slice) { return box.ring.wait_for_room(slice); });
    if (waited <= 0) return waited;
  }
}

// try_push(data) -> bool
PyObject* try_push(PyObject* self, PyObject* data) {
  RingBox* box = ring_box(self);
  Source source;
  if (box == nullptr || !may_produce(*box) || !source.open(*box, data)) return nullptr;
  return guarded([&]() -> PyObject* {
    const int pushed = push_until(*box, source, 0);
    return pushed < 0 ? nullptr : PyBool_FromLong(pushed);
  });
}

// push(data, timeout=None)
PyObject* push(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  RingBox* box = ring_box(self);
  PyObject* timeout = nullptr;
  if (box == nullptr || !may_produce(*box) || !parse_call(1, args, count, names, &timeout)) return nullptr;
  const bool given = timeout != nullptr && timeout != Py_None;
  std::uint64_t deadline = box->ring.options().overflow == Overflow::kBlock ? kNoDeadline : 0;
  Source source;
  if ((given && !parse_timeout(timeout, &deadline)) || !source.open(*box, args[0])) return nullptr;
  return guarded([&]() -> PyObject* {
    const int pushed = push_until(*box, source, deadline);
    if (pushed == 1) Py_RETURN_NONE;
    if (pushed < 0) return nullptr;
    return given ? raise("RingTimeoutError", "the ring stayed full for %R s", timeout) : raise_full(*box);
  });
}

// A dtype's item is made by Python code, which must find the message gone already: it could pop as well.
PyObject* take(RingBox& box, const std::byte* slot) {
  PyObject* bytes = box.is_dtype ? PyBytes_FromStringAndSize(reinterpret_cast<const char*>(slot),
                                                             static_cast<Py_ssize_t>(box.ring.options().slot_size))
                                 : item_from(box, slot, box.ring.peeked_length());
  if (bytes == nullptr) return nullptr;
  box.ring.release();
  if (!box.is_dtype) return bytes;
  PyObject* module = PyImport_ImportModule("pyringkernel._arrays");
  PyObject* item =
      module == nullptr ? nullptr : PyObject_CallMethod(module, "scalar", "OO", bytes, box.item_type.ptr());
  Py_XDECREF(module);
  Py_DECREF(bytes);
  return item;
}

bool may_consume(const RingBox& box) {
  if (!box.peeked) return true;
  raise("ViewInUseError", "a peek() of this ring is open: leave its with-block first");
  return false;
}

// try_pop() -> item or None
PyObject* try_pop(PyObject* self, PyObject*) {
  RingBox* box = ring_box(self);
  if (box == nullptr || !may_consume(*box)) return nullptr;
  return guarded([&]() -> PyObject* {
    const std::byte* slot = box->ring.try_peek();
    if (slot != nullptr) return take(*box, slot);
    if (box->ring.closed_and_drained()) return raise_closed();
    Py_RETURN_NONE;
  });
}

// 1: a message is there, 0: none until the deadline, -1: error set.
int await_message(RingBox& box, std::uint64_t deadline) {
  for (;;) {
    if (box.ring.try_peek() != nullptr) return 1;
    if (box.ring.closed_and_drained()) return raise_closed(), -1;
    const int waited =
        wait_interruptibly(deadline, [&](std::uint64_t slice) { return box.ring.wait_for_message(slice); });
    if (waited <= 0) return waited;
  }
}

// pop(timeout=None) -> item
PyObject* pop(PyObject* self, PyObject* const* args, Py_ssize_t count, PyObject* names) {
  RingBox* box = ring_box(self);
  PyObject* timeout = nullptr;
  std::uint64_t deadline = kNoDeadline;
  if (box == nullptr || !may_consume(*box) || !parse_call(0, args, count, names, &timeout)) return nullptr;
  if (timeout != nullptr && !parse_timeout(timeout, &deadline)) return nullptr;
  return guarded([&]() -> PyObject* {
    const std::byte* slot = box->ring.try_peek();
    if (slot != nullptr) return take(*box, slot);
    const int there = await_message(*box, deadline);
    if (there < 0) return nullptr;
    if (there == 0) return raise("RingTimeoutError", "no message within %R s", timeout);
    return take(*box, box->ring.try_peek());
  });
}

// -- batches
// ------------------------------------------------------------------------------------------------------------

// Rows of whole slots, as _arrays.rows() has checked them.
std::uint64_t push_rows(RingBox& box, const py::buffer& rows, std::uint64_t count, std::optional<double> timeout) {
  if (!may_produce(box)) throw py::error_already_set();
  const py::buffer_info info = rows.request();
  const auto* bytes = static_cast<const std::byte*>(info.ptr);
  std::uint64_t deadline = box.ring.options().overflow == Overflow::kBlock ? kNoDeadline : 0;
  if (timeout && !parse_timeout(py::float_(*timeout).ptr(), &deadline)) throw py::error_already_set();
  std::uint64_t done = 0;
  for (;;) {
    if (box.ring.closed()) {
      raise_closed();
      throw py::error_already_set();
    }
    {
      const py::gil_scoped_release release;
      done += box.ring.push_many(bytes + done * box.ring.options().slot_size, count - done);
    }
    if (done == count || deadline == 0) return done;
    const int waited = wait_interruptibly(deadline, [&](std::uint64_t slice) { return box.ring.wait_for_room(slice); });
    if (waited < 0) throw py::error_already_set();
    if (waited == 0) return done;
  }
}

std::uint64_t pop_rows(RingBox& box, const py::buffer& out, std::uint64_t max) {
  if (!may_consume(box)) throw py::error_already_set();
  const py::buffer_info info = out.request(true);
  box.ring.try_peek();  // takes the consumer's role while errors can still be raised
  const py::gil_scoped_release release;
  return box.ring.pop_many(info.ptr, max);
}

bool wait_message(RingBox& box, const py::object& timeout) {
  std::uint64_t deadline = kNoDeadline;
  if (!parse_timeout(timeout.ptr(), &deadline)) throw py::error_already_set();
  const int there = await_message(box, deadline);
  if (there < 0) throw py::error_already_set();
  return there == 1;
}

// To read is harmless in any process.
const RingBox& checked(const RingBox& box) {
  if (!box.check_initialised()) throw py::error_already_set();
  return box;
}

RingBox& checked(RingBox& box) {
  if (!box.check_initialised() || !same_process(box.generation)) throw py::error_already_set();
  return box;
}

void leave(RingBox& box, HostRing::Role role) {
  if (role == HostRing::Role::kProducer ? !may_produce(checked(box)) : !may_consume(checked(box))) {
    throw py::error_already_set();
  }
  box.ring.leave(role);
}

// -- making
// -------------------------------------------------------------------------------------------------------------

std::unique_ptr<RingBox> make_ring(std::uint64_t capacity, std::uint64_t slot_size, const py::object& item,
                                   int overflow, int layout, std::uint32_t wait, std::uint32_t producers,
                                   std::int64_t order_offset) {
  HostRingOptions options;
  options.capacity = capacity;
  options.slot_size = slot_size;
  options.overflow = static_cast<Overflow>(overflow);
  options.layout = static_cast<std::uint32_t>(layout);
  options.wait = static_cast<Wait>(wait);
  options.one_producer = producers == 0;
  options.max_producers = producers == 0 ? 1 : producers;
  options.order_offset = order_offset;
  const auto size = static_cast<unsigned long long>(slot_size), count = static_cast<unsigned long long>(capacity);
  try {
    return std::make_unique<RingBox>(options, item);
  } catch (const HostRing::GeometryFailure& failure) {
    if (failure.error == GeometryError::kCapacityNotPowerOfTwo) {
      raise("CapacityError", "capacity: found %llu, need a power of two, such as 256", count);
    } else if (failure.error == GeometryError::kSlotSizeZero) {
      raise("SlotTooSmallError", "slot_size: found 0, need at least 1");
    } else {
      raise("RingMemoryError", "%llu slots of %llu bytes are more than a ring can have", count, size);
    }
  } catch (const std::bad_alloc&) {
    raise("RingMemoryError", "no memory for %llu slots of %llu bytes: choose a smaller capacity", count, size);
  }
  throw py::error_already_set();
}

py::dict stats(const RingBox& box) {
  const RingStats s = checked(box).ring.stats();
  py::dict result;
  result["accepted"] = s.accepted;
  result["delivered"] = s.delivered;
  result["dropped"] = s.dropped;
  result["dead_lettered"] = s.dead_lettered;
  result["in_flight"] = s.in_flight;
  result["high_water"] = s.high_water;
  return result;
}

PyMethodDef kHotMethods[] = {
    {"push", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(push)), METH_FASTCALL | METH_KEYWORDS,
     "push(data, timeout=None)\n\nAdd one message. Raises RingFullError, RingTimeoutError, RingClosedError."},
    {"try_push", try_push, METH_O, "try_push(data) -> bool\n\nFalse when full. Raises RingClosedError."},
    {"pop", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(pop)), METH_FASTCALL | METH_KEYWORDS,
     "pop(timeout=None)\n\nThe oldest message; waits for one. Raises RingTimeoutError, RingClosedError when drained."},
    {"try_pop", try_pop, METH_NOARGS, "try_pop()\n\nThe oldest message or None. Raises RingClosedError when drained."},
    {"claim", open_claim, METH_NOARGS,
     "claim()\n\nwith ring.claim() as slot: fill in place; an exception abandons it."},
    {"peek", open_peek, METH_NOARGS, "peek()\n\nwith ring.peek() as slot: use in place; handed back at the end."},
};

}  // namespace

RingBox* ring_box(PyObject* self) {
  auto* box = static_cast<RingBox*>(reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0]);
  if (box == nullptr) {
    PyErr_SetString(PyExc_RuntimeError, "Ring.__init__ was not called");
    return nullptr;
  }
  return box->check_initialised() && same_process(box->generation) ? box : nullptr;
}

bool may_produce(const RingBox& box) {
  if (box.claimers.empty()) return true;
  const auto me = PyThread_get_thread_ident();
  if (std::find(box.claimers.begin(), box.claimers.end(), me) == box.claimers.end()) return true;
  raise("ViewInUseError", "a claim() of this thread is open: leave its with-block first");
  return false;
}

PyObject* raise_role(const HostRing::RoleTaken& taken) {
  return taken.role == HostRing::Role::kProducer
             ? raise("SecondProducerError",
                     "another thread produces into this SpscRing: use an MpscRing, or let that thread call "
                     "release_producer() first")
             : raise("SecondConsumerError",
                     "another thread consumes from this ring: one consumer at a time, or let that thread call "
                     "release_consumer() first");
}

bool parse_call(Py_ssize_t positional, PyObject* const* args, Py_ssize_t count, PyObject* names, PyObject** timeout) {
  const Py_ssize_t keywords = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  *timeout = nullptr;
  if (count == positional && keywords == 0) return true;
  const bool named = keywords == 1 && count == positional &&
                     PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") == 0;
  if (named || (keywords == 0 && count == positional + 1)) {
    *timeout = args[positional];
    return true;
  }
  PyErr_Format(PyExc_TypeError, "need %zd positional argument(s), and timeout= if any", positional);
  return false;
}

bool parse_timeout(PyObject* timeout, std::uint64_t* deadline_ns) {
  *deadline_ns = kNoDeadline;
  if (timeout == Py_None) return true;
  const double seconds = PyFloat_AsDouble(timeout);
  if (PyErr_Occurred() != nullptr || !(seconds >= 0.0)) {
    PyErr_Clear();
    raise("InvalidArgumentError", "timeout: found %R, need seconds from 0, or None", timeout);
    return false;
  }
  if (seconds < 1.0e9) *deadline_ns = HostAtomics::monotonic_ns() + static_cast<std::uint64_t>(seconds * 1e9);
  return true;
}

PyObject* item_from(RingBox& box, const std::byte* slot, std::uint32_t length) {
  if (!box.is_message) {
    return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(slot), static_cast<Py_ssize_t>(length));
  }
  const LayoutObject* layout = layout_of(box.message_type());
  return layout == nullptr ? nullptr : reinterpret_cast<PyObject*>(new_message(box.message_type(), *layout, slot));
}

void bind_rings(py::module_& module) {
  bind_ring_guards(module);
  py::class_<RingBox> ring(module, "Ring");
  ring.def(py::init(&make_ring), py::arg("capacity"), py::arg("slot_size"), py::arg("item"), py::arg("overflow"),
           py::arg("layout"), py::arg("wait"), py::arg("producers"), py::arg("order_offset"))
      .def("_push_rows", [](RingBox& b, const py::buffer& rows, std::uint64_t n,
                            std::optional<double> t) { return push_rows(checked(b), rows, n, t); })
      .def("_pop_rows", [](RingBox& b, const py::buffer& out, std::uint64_t n) { return pop_rows(checked(b), out, n); })
      .def("_wait_message", [](RingBox& b, const py::object& t) { return wait_message(checked(b), t); })
      .def("close", [](RingBox& b) { checked(b).ring.close(); })
      .def("release_producer", [](RingBox& b) { leave(b, HostRing::Role::kProducer); })
      .def("release_consumer", [](RingBox& b) { leave(b, HostRing::Role::kConsumer); })
      .def("_stats", &stats)
      .def_property_readonly("closed", [](const RingBox& b) { return checked(b).ring.closed(); })
      .def_property_readonly("capacity", [](const RingBox& b) { return checked(b).ring.options().capacity; })
      .def_property_readonly("slot_size", [](const RingBox& b) { return checked(b).ring.options().slot_size; })
      .def_property_readonly("item_type", [](const RingBox& b) { return checked(b).item_type; })
      .def_property_readonly("producers", [](const RingBox& b) { return checked(b).ring.producers(); })
      .def("__len__", [](const RingBox& b) { return checked(b).ring.stats().in_flight; });
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const HostRing::RoleTaken& taken) {
      raise_role(taken);
    }
  });
  for (PyMethodDef& method : kHotMethods) {
    ring.attr(method.ml_name) =
        py::reinterpret_steal<py::object>(PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(ring.ptr()), &method));
  }
}

}  // namespace rk::py
