// From a text to an image, with g++, or from the cache.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace rk_double {

struct Program {
  std::string text, name, image, log;
  std::vector<std::pair<std::string, std::string>> headers;  // name, text
};

// options: for g++. The log is as NVRTC writes it.
bool compile(Program& program, const std::vector<std::string>& options);

}  // namespace rk_double
