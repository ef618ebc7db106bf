// The exceptions that a Python handler ended with, by the message it had.
//
// They hold tracebacks, those the frames, and those often enough the kernel. So that the collector can see such a
// cycle, they are in a dict, which a handler shares with its kernel's object until it ends, and no longer.
//
// Protection: everything: the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace rk::py {

class HandlerErrors {
 public:
  void add(std::uint64_t message_id, const pybind11::object& error) {
    all_[pybind11::none()] = error;  // the first entry, and the newest error
    all_[pybind11::int_(message_id)] = error;
    if (all_.size() > kMost + 1) forget_oldest();
  }

  pybind11::object newest() const { return all_.attr("get")(pybind11::none()); }

  // The one of this message, which is then forgotten; None when unknown.
  pybind11::object take(std::uint64_t message_id) const {
    return all_.attr("pop")(pybind11::int_(message_id), pybind11::none());
  }

  pybind11::dict& all() { return all_; }

 private:
  static constexpr std::size_t kMost = 256;

  void forget_oldest() {
    PyObject *key = nullptr, *value = nullptr;
    Py_ssize_t at = 0;
    PyDict_Next(all_.ptr(), &at, &key, &value);  // the newest
    PyDict_Next(all_.ptr(), &at, &key, &value);
    PyDict_DelItem(all_.ptr(), pybind11::reinterpret_borrow<pybind11::object>(key).ptr());
  }

  pybind11::dict all_;
};

}  // namespace rk::py
