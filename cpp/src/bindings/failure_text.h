// Why a compiled handler failed, for people. The same text wherever it ran.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace rk::py {

// `code`: of ringkernel/compiled.h; `line`: of `file`, 0 when unknown; `assertions`: what they say, by line.
std::string failure_text(std::uint32_t code, std::uint32_t line, const std::string& file,
                         const std::unordered_map<std::uint32_t, std::string>& assertions);

}  // namespace rk::py
