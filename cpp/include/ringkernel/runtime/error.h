// What the runtime throws: an environment or a use that cannot work. Full, empty and late are return values instead.
#pragma once

#include <stdexcept>
#include <string>

namespace rk {

// `kind` is the name of the Python class that the bindings raise.
class Error : public std::runtime_error {
 public:
  Error(const char* kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  const char* kind() const { return kind_; }

 private:
  const char* kind_;
};

}  // namespace rk
