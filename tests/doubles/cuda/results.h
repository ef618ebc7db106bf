// Results of the driver, with the numbers that NVIDIA has frozen.
#pragma once

#include <map>

namespace rk_double {

using Result = int;

#define RK_DOUBLE_RESULTS(F)                                                                                         \
  F(kOk, 0, "CUDA_SUCCESS", "no error")                                                                              \
  F(kInvalidValue, 1, "CUDA_ERROR_INVALID_VALUE", "invalid argument")                                                \
  F(kOutOfMemory, 2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory")                                                    \
  F(kNotInitialized, 3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error")                                        \
  F(kDeinitialized, 4, "CUDA_ERROR_DEINITIALIZED", "driver shutting down")                                           \
  F(kStubLibrary, 34, "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library")                                    \
  F(kNewerDriver, 36, "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "API call is not supported in the installed driver")  \
  F(kDeviceUnavailable, 46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable")    \
  F(kNoDevice, 100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected")                                    \
  F(kInvalidDevice, 101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal")                                      \
  F(kInvalidImage, 200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid")                                \
  F(kInvalidContext, 201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context")                                    \
  F(kNoBinary, 209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device")      \
  F(kEcc, 214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered")                                \
  F(kPeerUnsupported, 217, "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED", "peer access is not supported between two devices") \
  F(kInvalidHandle, 400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle")                                     \
  F(kNotFound, 500, "CUDA_ERROR_NOT_FOUND", "named symbol not found")                                                \
  F(kNotReady, 600, "CUDA_ERROR_NOT_READY", "device not ready")                                                      \
  F(kIllegalAddress, 700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered")                  \
  F(kOutOfResources, 701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch")           \
  F(kTimeout, 702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated")                           \
  F(kPeerEnabled, 704, "CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED", "peer access is already enabled")                   \
  F(kLaunchFailed, 719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure")                                    \
  F(kCooperativeTooLarge, 720, "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch")   \
  F(kNotPermitted, 800, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted")                                       \
  F(kNotSupported, 801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported")                                       \
  F(kDriverMismatch, 803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",                                                       \
    "system has unsupported display driver / cuda driver combination")                                               \
  F(kUnknown, 999, "CUDA_ERROR_UNKNOWN", "unknown error")

enum : Result {
#define RK_DOUBLE_NUMBER(name, number, text, meaning) name = number,
  RK_DOUBLE_RESULTS(RK_DOUBLE_NUMBER)
#undef RK_DOUBLE_NUMBER
};

struct ResultText {
  const char *name, *meaning;
};
inline const std::map<Result, ResultText>& result_texts() {
  static const std::map<Result, ResultText> texts{
#define RK_DOUBLE_TEXT(name, number, text, meaning) {number, {text, meaning}},
      RK_DOUBLE_RESULTS(RK_DOUBLE_TEXT)
#undef RK_DOUBLE_TEXT
  };
  return texts;
}

}  // namespace rk_double
