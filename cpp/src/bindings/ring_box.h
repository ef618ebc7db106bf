// A HostRing with what Python adds: the kind of its items, and the process that made it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "errors.h"
#include "message_object.h"
#include "ringkernel/runtime/host_ring.h"

namespace rk::py {

struct RingBox : Initialised {
  RingBox(const HostRingOptions& options, pybind11::object item) : ring(options), item_type(std::move(item)) {
    if (PyType_Check(item_type.ptr()) && PyType_IsSubtype(message_type(), &MessageType)) is_message = true;
    is_dtype = !is_message && !item_type.is_none();
  }
  PyTypeObject* message_type() const { return reinterpret_cast<PyTypeObject*>(item_type.ptr()); }

  HostRing ring;
  pybind11::object item_type;  // None: bytes; a message class; a NumPy dtype
  bool is_message = false;
  bool is_dtype = false;
  std::vector<unsigned long> claimers;  // threads inside a claim(). Protection: the GIL
  bool peeked = false;                  // a peek() is open. Protection: the GIL
  std::uint32_t generation = fork_generation();
};

// False with ViewInUseError set while the calling thread is inside a claim(): its slot would be overwritten.
bool may_produce(const RingBox& box);

// The box behind a Ring instance; nullptr with an error set when it is unusable (not initialised, another process).
RingBox* ring_box(PyObject* self);

// Runs `body`; what HostRing throws becomes a Python error.
PyObject* raise_role(const HostRing::RoleTaken& taken);

template <class Body>
auto guarded(Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const HostRing::RoleTaken& taken) {
    raise_role(taken);
  } catch (pybind11::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  }
  return {};
}

// `positional` arguments and timeout=, by place or by name; *timeout is nullptr when it is not given. False with
// TypeError set.
bool parse_call(Py_ssize_t positional, PyObject* const* args, Py_ssize_t count, PyObject* names, PyObject** timeout);

// Seconds or None to an absolute deadline; false with an error set.
bool parse_timeout(PyObject* timeout, std::uint64_t* deadline_ns);

// Waits without the GIL in slices of 50 ms, so that signals are answered. 1: true, 0: deadline, -1: error set.
template <class Wait>
int wait_interruptibly(std::uint64_t deadline_ns, Wait&& wait) {
  constexpr std::uint64_t kSliceNs = 50'000'000;
  for (;;) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    const std::uint64_t slice = deadline_ns - now < kSliceNs && deadline_ns >= now ? deadline_ns : now + kSliceNs;
    bool done = false;
    PyThreadState* state = PyEval_SaveThread();
    done = wait(deadline_ns <= now ? now : slice);
    PyEval_RestoreThread(state);
    if (done) return 1;
    if (PyErr_CheckSignals() != 0) return -1;
    if (HostAtomics::monotonic_ns() >= deadline_ns) return 0;
  }
}

// The message or the bytes of a slot.
PyObject* item_from(RingBox& box, const std::byte* slot, std::uint32_t length);

void bind_ring_guards(pybind11::module_& module);
PyObject* open_claim(PyObject* self, PyObject*);
PyObject* open_peek(PyObject* self, PyObject*);

}  // namespace rk::py
