// Raising the typed errors of pyringkernel.errors from C++.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstddef>
#include <cstdint>

namespace rk::py {

// A static type before its slots are set; PyType_Ready comes after.
inline PyTypeObject blank_type() {
  PyTypeObject type{};
  const PyVarObject head[] = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.ob_base = head[0];
  return type;
}

// Base of what pybind11 holds: an instance whose __init__ never ran is all zero, and says so instead of crashing.
class Initialised {
 public:
  static void* operator new(std::size_t bytes);
  static void operator delete(void* memory);
  // False with RuntimeError set.
  bool check_initialised() const;

 private:
  std::uint32_t mark_ = kMark;
  static constexpr std::uint32_t kMark = 0x52424B4F;
};

// The class `name` of pyringkernel.errors; a new reference is never given away.
PyObject* error_type(const char* name);

// Sets the error and returns nullptr, for `return raise(...)`.
PyObject* raise(const char* name, const char* format, ...);

// After fork, what belongs to the parent may not be used in the child.
std::uint32_t fork_generation();
void watch_forks();

// False with ForkedProcessError set when `generation` is another process's.
bool same_process(std::uint32_t generation);

// True from the moment the interpreter begins to end: nothing of Python may be touched any more.
bool interpreter_is_ending();

}  // namespace rk::py
