// with ring.claim() as slot, with ring.peek() as slot: a slot in place, and a view that dies with the block.
#include "bindings.h"
#include "ring_box.h"

namespace rk::py {
namespace {

// Exports one slot through the buffer protocol and counts who looks at it.
struct SlotObject {
  PyObject_HEAD std::byte* bytes;  // nullptr once handed back
  Py_ssize_t size;
  Py_ssize_t exports;
  int readonly;
  PyObject* ring;  // owned: the memory
  // The ring knows that this slot is in use until the block has ended and nothing points into it any more.
  bool marked;
  bool claims;
  unsigned long thread;  // that is inside the block
};

struct GuardObject {
  PyObject_HEAD PyObject* ring;  // owned
  PyObject* view;                // owned while the block is open: memoryview or message
  SlotObject* slot;              // owned while the block is open
  bool claims;
};

int slot_buffer(PyObject* self, Py_buffer* view, int flags) {
  auto* slot = reinterpret_cast<SlotObject*>(self);
  if (slot->bytes == nullptr) {
    raise("ReleasedError", "the slot was handed back to its ring");
    return -1;
  }
  if (PyBuffer_FillInfo(view, self, slot->bytes, slot->size, slot->readonly, flags) != 0) return -1;
  ++slot->exports;
  return 0;
}

void slot_release(PyObject* self, Py_buffer*) { --reinterpret_cast<SlotObject*>(self)->exports; }

void mark(SlotObject* slot, RingBox& box) {
  slot->marked = true;
  if (slot->claims) {
    box.claimers.push_back(slot->thread);
  } else {
    box.peeked = true;
  }
}

void unmark(SlotObject* slot) {
  if (!slot->marked) return;
  slot->marked = false;
  auto* box = static_cast<RingBox*>(reinterpret_cast<pybind11::detail::instance*>(slot->ring)->simple_value_holder[0]);
  if (slot->claims) {
    std::erase(box->claimers, slot->thread);
  } else {
    box->peeked = false;
  }
}

void slot_dealloc(PyObject* self) {
  unmark(reinterpret_cast<SlotObject*>(self));
  Py_XDECREF(reinterpret_cast<SlotObject*>(self)->ring);
  Py_TYPE(self)->tp_free(self);
}

PyBufferProcs kSlotBuffer = {slot_buffer, slot_release};
PyTypeObject SlotType = blank_type();
PyTypeObject GuardType = blank_type();

// A guard that was entered and dropped: a claim is abandoned, a peeked message stays in the ring.
void guard_dealloc(PyObject* self) {
  auto* guard = reinterpret_cast<GuardObject*>(self);
  Py_XDECREF(guard->view);
  Py_XDECREF(guard->slot);
  Py_XDECREF(guard->ring);
  Py_TYPE(self)->tp_free(self);
}

bool make_view(GuardObject* guard, RingBox& box, std::byte* bytes, std::size_t size) {
  guard->slot = reinterpret_cast<SlotObject*>(SlotType.tp_alloc(&SlotType, 0));
  if (guard->slot == nullptr) return false;
  guard->slot->bytes = bytes;
  guard->slot->size = static_cast<Py_ssize_t>(size);
  guard->slot->readonly = guard->claims ? 0 : 1;
  guard->slot->ring = Py_NewRef(guard->ring);
  guard->slot->claims = guard->claims;
  guard->slot->thread = PyThread_get_thread_ident();
  auto* slot = reinterpret_cast<PyObject*>(guard->slot);
  guard->view = box.is_message ? reinterpret_cast<PyObject*>(new_view(box.message_type(), bytes, slot))
                               : PyMemoryView_FromObject(slot);
  return guard->view != nullptr;
}

// A claimed slot starts as the item's defaults, or zero: what the block does not fill must not be an old message.
bool prepare(RingBox& box, std::byte* bytes) {
  if (!box.is_message) {
    std::memset(bytes, 0, box.ring.options().slot_size);
    return true;
  }
  const LayoutObject* layout = layout_of(box.message_type());
  if (layout != nullptr) std::memcpy(bytes, layout->defaults.data(), layout->defaults.size());
  return layout != nullptr;
}

PyObject* enter_claim(GuardObject* guard, RingBox& box) {
  if (!may_produce(box)) return nullptr;
  if (!box.ring.can_claim()) {
    return raise("UnsupportedError",
                 "claim() needs a lane of its own and a ring that does not drop its oldest: use push()");
  }
  std::byte* bytes = box.ring.try_claim();
  while (bytes == nullptr) {
    if (box.ring.closed()) return raise("RingClosedError", "the ring is closed");
    if (box.ring.options().overflow != Overflow::kBlock) return raise("RingFullError", "the ring is full");
    if (wait_interruptibly(kNoDeadline, [&](std::uint64_t slice) { return box.ring.wait_for_room(slice); }) < 0)
      return nullptr;
    bytes = box.ring.try_claim();
  }
  if (!prepare(box, bytes) || !make_view(guard, box, bytes, box.ring.options().slot_size)) return nullptr;
  mark(guard->slot, box);
  return Py_NewRef(guard->view);
}

PyObject* enter_peek(GuardObject* guard, RingBox& box) {
  if (box.peeked) return raise("ViewInUseError", "a peek() of this ring is open: leave its with-block first");
  const std::byte* bytes = box.ring.try_peek();
  while (bytes == nullptr) {
    if (box.ring.closed_and_drained()) return raise("RingClosedError", "the ring is closed and drained");
    if (wait_interruptibly(kNoDeadline, [&](std::uint64_t slice) { return box.ring.wait_for_message(slice); }) < 0)
      return nullptr;
    bytes = box.ring.try_peek();
  }
  const std::size_t size = box.is_message || box.is_dtype ? box.ring.options().slot_size : box.ring.peeked_length();
  if (!make_view(guard, box, const_cast<std::byte*>(bytes), size)) return nullptr;
  mark(guard->slot, box);
  return Py_NewRef(guard->view);
}

PyObject* guard_enter(PyObject* self, PyObject*) {
  auto* guard = reinterpret_cast<GuardObject*>(self);
  RingBox* box = ring_box(guard->ring);
  if (box == nullptr) return nullptr;
  if (guard->view != nullptr) return raise("ViewInUseError", "this guard was entered already");
  return guarded([&] { return guard->claims ? enter_claim(guard, *box) : enter_peek(guard, *box); });
}

// The view dies first. When something still looks into the slot, it is neither published nor handed back.
bool end_slot(GuardObject* guard, const RingBox& box) {
  if (box.is_message) {
    if (!end_view(reinterpret_cast<MessageObject*>(guard->view))) return false;
  } else {
    PyObject* released = PyObject_CallMethod(guard->view, "release", nullptr);
    if (released == nullptr || guard->slot->exports != 0) {
      PyErr_Clear();
      Py_XDECREF(released);
      raise("ViewInUseError", "an array or view made from this slot is still alive: delete it, or copy what you keep");
      return false;
    }
    Py_DECREF(released);
  }
  guard->slot->bytes = nullptr;
  return true;
}

PyObject* guard_exit(PyObject* self, PyObject* args) {
  auto* guard = reinterpret_cast<GuardObject*>(self);
  RingBox* box = ring_box(guard->ring);
  if (box == nullptr) return nullptr;
  if (guard->view == nullptr) return raise("ViewInUseError", "this guard was not entered");
  if (guard->slot->thread != PyThread_get_thread_ident()) {
    return raise("ViewInUseError", "a with-block of claim() or peek() must be left by the thread that entered it");
  }
  if (!end_slot(guard, *box)) return nullptr;
  unmark(guard->slot);
  Py_CLEAR(guard->view);
  Py_CLEAR(guard->slot);
  const bool failed = PyTuple_GET_SIZE(args) > 0 && PyTuple_GET_ITEM(args, 0) != Py_None;
  return guarded([&]() -> PyObject* {
    if (!guard->claims) {
      box->ring.release();
    } else if (!failed) {
      box->ring.publish(box->ring.options().slot_size);
    }
    Py_RETURN_NONE;
  });
}

PyMethodDef kGuardMethods[] = {{"__enter__", guard_enter, METH_NOARGS, nullptr},
                               {"__exit__", guard_exit, METH_VARARGS, nullptr},
                               {nullptr, nullptr, 0, nullptr}};

PyObject* open_guard(PyObject* ring, bool claims) {
  if (ring_box(ring) == nullptr) return nullptr;
  PyObject* self = GuardType.tp_alloc(&GuardType, 0);
  if (self == nullptr) return nullptr;
  Py_INCREF(ring);
  reinterpret_cast<GuardObject*>(self)->ring = ring;
  reinterpret_cast<GuardObject*>(self)->claims = claims;
  return self;
}

}  // namespace

PyObject* open_claim(PyObject* self, PyObject*) { return open_guard(self, true); }
PyObject* open_peek(PyObject* self, PyObject*) { return open_guard(self, false); }

void bind_ring_guards(pybind11::module_&) {
  SlotType.tp_name = "pyringkernel._core.Slot";
  SlotType.tp_basicsize = sizeof(SlotObject);
  SlotType.tp_flags = Py_TPFLAGS_DEFAULT;
  SlotType.tp_dealloc = slot_dealloc;
  SlotType.tp_as_buffer = &kSlotBuffer;
  GuardType.tp_name = "pyringkernel._core.SlotGuard";
  GuardType.tp_basicsize = sizeof(GuardObject);
  GuardType.tp_flags = Py_TPFLAGS_DEFAULT;
  GuardType.tp_dealloc = guard_dealloc;
  GuardType.tp_methods = kGuardMethods;
  if (PyType_Ready(&SlotType) != 0 || PyType_Ready(&GuardType) != 0) throw pybind11::error_already_set();
}

}  // namespace rk::py
