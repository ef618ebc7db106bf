#include "errors.h"

#include <pthread.h>

#include <atomic>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <new>

namespace rk::py {
namespace {

std::atomic<std::uint32_t> forks{0};

}  // namespace

void* Initialised::operator new(std::size_t bytes) {
  constexpr std::size_t kAlign = 128;  // what rings need
  void* memory = std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign);
  if (memory == nullptr) throw std::bad_alloc();
  return std::memset(memory, 0, bytes);
}

void Initialised::operator delete(void* memory) { std::free(memory); }

bool Initialised::check_initialised() const {
  if (mark_ == kMark) return true;
  PyErr_SetString(PyExc_RuntimeError, "__init__ of this object was not called");
  return false;
}

PyObject* error_type(const char* name) {
  PyObject* module = PyImport_ImportModule("pyringkernel.errors");
  if (module == nullptr) return nullptr;
  PyObject* type = PyObject_GetAttrString(module, name);
  Py_DECREF(module);
  Py_XDECREF(type);  // the module keeps it
  return type;
}

PyObject* raise(const char* name, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  PyObject* message = PyUnicode_FromFormatV(format, arguments);
  va_end(arguments);
  PyObject* type = message != nullptr ? error_type(name) : nullptr;
  if (type != nullptr) PyErr_SetObject(type, message);
  Py_XDECREF(message);
  return nullptr;
}

std::uint32_t fork_generation() { return forks.load(std::memory_order_relaxed); }

void watch_forks() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { forks.fetch_add(1, std::memory_order_relaxed); });
  (void)registered;
}

bool interpreter_is_ending() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

bool same_process(std::uint32_t generation) {
  if (generation == fork_generation()) return true;
  raise("ForkedProcessError",
        "this object was made before fork() and belongs to the parent process: make a new one in the child, or start "
        "processes with the 'spawn' method");
  return false;
}

}  // namespace rk::py
