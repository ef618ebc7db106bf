// A double of libnvrtc: g++ compiles the text as host code, behind device_shim.h. Its "CUBIN" is an ELF library that
// the double of the driver loads. It says nothing about what NVIDIA's compiler accepts or makes of a text.
//   RK_DOUBLE_SHIM    the folder of device_shim.h
//   RK_DOUBLE_CACHE   where results are kept by the hash of what they were made of
//   RK_DOUBLE_FLAGS   more for the compiler, such as -fsanitize=thread; CXX: another compiler than g++
//   RK_DOUBLE_NVRTC_VERSION (13.0), RK_DOUBLE_NVRTC_ARCHS ("75,80,90")
//   RK_DOUBLE_NVRTC_FAIL "nvrtcVersion=11,nvrtcCompileProgram=6": these entry points fail with these results
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "nvrtc_compile.h"

#define RK_API extern "C" __attribute__((visibility("default")))

namespace {

using rk_double::Program;

enum : int {
  kOk = 0,
  kInvalidInput = 3,
  kInvalidProgram = 4,
  kInvalidOption = 5,
  kCompilation = 6,
};
constexpr const char* kResults[] = {
    "NVRTC_SUCCESS",
    "NVRTC_ERROR_OUT_OF_MEMORY",
    "NVRTC_ERROR_PROGRAM_CREATION_FAILURE",
    "NVRTC_ERROR_INVALID_INPUT",
    "NVRTC_ERROR_INVALID_PROGRAM",
    "NVRTC_ERROR_INVALID_OPTION",
    "NVRTC_ERROR_COMPILATION",
    "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE",
    "NVRTC_ERROR_NO_NAME_EXPRESSIONS_AFTER_COMPILATION",
    "NVRTC_ERROR_NO_LOWERED_NAMES_BEFORE_COMPILATION",
    "NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID",
    "NVRTC_ERROR_INTERNAL_ERROR",
};
constexpr char kPtx[] = "// the double of NVRTC makes no PTX\n";

std::string setting(const char* name, const char* otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != 0 ? text : otherwise;
}

std::vector<int> archs() {
  std::istringstream list(setting("RK_DOUBLE_NVRTC_ARCHS", "75,80,86,87,88,89,90,100,103,110,120,121"));
  std::vector<int> all;
  for (std::string one; std::getline(list, one, ',');) all.push_back(std::atoi(one.c_str()));
  return all;
}

// 0, or what RK_DOUBLE_NVRTC_FAIL says of an entry point; looked at each time, so that tests can change it.
int planted(const char* entry) {
  const std::string list = std::string(",").append(setting("RK_DOUBLE_NVRTC_FAIL", ""));
  const std::size_t at = list.find(std::string(",").append(entry).append("="));
  return at == std::string::npos ? kOk : std::atoi(list.c_str() + list.find('=', at) + 1);
}
#define RK_ENTER()                                                          \
  do {                                                                      \
    if (const int result = planted(__func__); result != kOk) return result; \
  } while (0)

// What follows the first of these beginnings; false: none of them.
bool value_of(const std::string& option, std::initializer_list<const char*> beginnings, std::string& value) {
  for (const char* one : beginnings) {
    if (option.rfind(one, 0) != 0) continue;
    value = option.substr(std::strlen(one));
    return true;
  }
  return false;
}

// Those of NVRTC that mean something here, as those of g++. What changes only the code of a GPU is taken and forgotten.
bool translate(const std::string& option, std::vector<std::string>& out, bool& real) {
  static const char* const taken[] = {"-fmad=false",
                                      "--fmad=false",
                                      "-default-device",
                                      "--device-as-default-execution-space",
                                      "-lineinfo",
                                      "--generate-line-info",
                                      "-w",
                                      "-maxrregcount=",
                                      "--maxrregcount=",
                                      "--ptxas-options=",
                                      "-diag-suppress=",
                                      "--diag-suppress=",
                                      "-dopt=",
                                      "--restrict",
                                      "--device-int128",
                                      "-device-int128",
                                      "--minimal",
                                      "-minimal"};
  std::string value;
  if (value_of(option, {"--std=", "-std="}, value)) {
    out.push_back(std::string("-std=").append(value));
  } else if (value_of(option, {"--define-macro=", "-D"}, value)) {
    out.push_back(std::string("-D").append(value));
  } else if (value_of(option, {"--include-path=", "-I"}, value)) {
    out.push_back(std::string("-I").append(value));
  } else if (value_of(option, {"--gpu-architecture=", "-arch="}, value)) {
    real = value.rfind("sm_", 0) == 0;
    const std::string number = value.substr(std::min(value.size(), value.find('_') + 1));
    const auto all = archs();
    if (std::find(all.begin(), all.end(), std::atoi(number.c_str())) == all.end()) return false;
    out.push_back("-DRK_DOUBLE_ARCH=" + std::to_string(std::atoi(number.c_str())));
  } else {
    return std::any_of(std::begin(taken), std::end(taken), [&](const char* one) { return option.rfind(one, 0) == 0; });
  }
  return true;
}

Program* program_of(void* handle) { return static_cast<Program*>(handle); }

}  // namespace

RK_API int nvrtcVersion(int* major, int* minor) {
  RK_ENTER();
  const std::string text = setting("RK_DOUBLE_NVRTC_VERSION", "13.0");
  const std::size_t point = text.find('.');
  *major = std::atoi(text.c_str());
  *minor = point == std::string::npos ? 0 : std::atoi(text.c_str() + point + 1);
  return kOk;
}
RK_API const char* nvrtcGetErrorString(int result) {
  return result >= 0 && static_cast<std::size_t>(result) < std::size(kResults) ? kResults[result]
                                                                               : "NVRTC_ERROR unknown";
}
RK_API int nvrtcGetNumSupportedArchs(int* number) {
  RK_ENTER();
  *number = static_cast<int>(archs().size());
  return kOk;
}
RK_API int nvrtcGetSupportedArchs(int* out) {
  RK_ENTER();
  const auto all = archs();
  std::copy(all.begin(), all.end(), out);
  return kOk;
}
RK_API int nvrtcCreateProgram(void** program, const char* text, const char* name, int number,
                              const char* const* headers, const char* const* names) {
  RK_ENTER();
  if (program == nullptr || text == nullptr || number < 0) return kInvalidInput;
  auto* made = new Program{text, name != nullptr ? name : "default_program", {}, {}, {}};
  for (int i = 0; i < number; ++i) made->headers.emplace_back(names[i], headers[i]);
  *program = made;
  return kOk;
}
RK_API int nvrtcDestroyProgram(void** program) {
  RK_ENTER();
  if (program == nullptr || *program == nullptr) return kInvalidProgram;
  delete program_of(*program);
  *program = nullptr;
  return kOk;
}
RK_API int nvrtcCompileProgram(void* handle, int number, const char* const* options) {
  if (const int result = planted("nvrtcCompileProgram"); result != kOk) {
    if (handle != nullptr) program_of(handle)->log = "planted by RK_DOUBLE_NVRTC_FAIL\n";
    return result;
  }
  if (handle == nullptr) return kInvalidProgram;
  Program& program = *program_of(handle);
  std::vector<std::string> translated;
  bool real = true;
  for (int i = 0; i < number; ++i) {
    if (translate(options[i], translated, real)) continue;
    program.log = std::string("nvrtc: error: invalid value for option, or no option: ") + options[i] + "\n";
    return kInvalidOption;
  }
  program.image.clear();
  program.log.clear();
  const bool made = rk_double::compile(program, translated);
  if (!real) program.image.clear();  // for a virtual architecture there is PTX only
  return made ? kOk : kCompilation;
}
RK_API int nvrtcGetCUBINSize(void* program, std::size_t* size) {
  RK_ENTER();
  if (program == nullptr) return kInvalidProgram;
  *size = program_of(program)->image.size();
  return kOk;
}
RK_API int nvrtcGetCUBIN(void* program, char* out) {
  RK_ENTER();
  if (program == nullptr) return kInvalidProgram;
  const std::string& image = program_of(program)->image;
  std::memcpy(out, image.data(), image.size());
  return kOk;
}
RK_API int nvrtcGetPTXSize(void* program, std::size_t* size) {
  RK_ENTER();
  if (program == nullptr) return kInvalidProgram;
  *size = sizeof(kPtx);
  return kOk;
}
RK_API int nvrtcGetPTX(void* program, char* out) {
  RK_ENTER();
  if (program == nullptr) return kInvalidProgram;
  std::memcpy(out, kPtx, sizeof(kPtx));
  return kOk;
}
RK_API int nvrtcGetProgramLogSize(void* program, std::size_t* size) {
  RK_ENTER();
  if (program == nullptr) return kInvalidProgram;
  *size = program_of(program)->log.size() + 1;
  return kOk;
}
RK_API int nvrtcGetProgramLog(void* program, char* out) {
  RK_ENTER();
  if (program == nullptr) return kInvalidProgram;
  const std::string& log = program_of(program)->log;
  std::memcpy(out, log.c_str(), log.size() + 1);
  return kOk;
}
