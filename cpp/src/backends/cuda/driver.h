// NVIDIA's driver, opened at run time: nothing of CUDA is needed until somebody asks for it.
//
// Failures are rk::Error; the kind tells the user's next step:
//   BackendUnavailableError  no driver, no device, one that is too old, or not for us
//   DeviceLostError          the device's memory and kernels are gone: nothing on it works until the process restarts
//   DeviceMemoryError        it has no more memory
//   InsufficientSmsError     a grid that does not fit beside the others
//   AbiMismatchError         device code was made from other headers than the host
//   DeviceError              anything else
//
// Protection: everything is constant once the driver is open.
#pragma once

#include <memory>
#include <string>

#include "driver_api.h"
#include "ringkernel/runtime/error.h"

namespace rk::cuda {

constexpr int kNeededDriver = 12000;  // as cuDriverGetVersion says 12.0

// Names another library than libcuda.so.1.
constexpr const char* kDriverVariable = "RINGKERNEL_CUDA_DRIVER";

class Driver {
 public:
  // That of this process, opened and initialised by the first call that succeeds. Never closed. Any thread.
  static const Driver& get();

  // Another library in the same process, or functions that need no library: for tests, which have good and bad ones.
  static std::unique_ptr<const Driver> open(const std::string& path);
  static std::unique_ptr<const Driver> of(const DriverApi& api);

  const DriverApi& api() const { return api_; }
  const std::string& path() const { return path_; }
  int version() const { return version_; }  // 13020 is 13.2
  int device_count() const;

  // "CUDA_ERROR_OUT_OF_MEMORY (2: out of memory)"
  std::string name_of(Result result) const;

  // Throws the error that `result` stands for, if it is one. `doing`: "reserving 64 MiB of device memory".
  void check(Result result, const char* entry, const std::string& doing) const;

 private:
  Driver() = default;
  void resolve(void* library);
  void check_version();
  void initialise() const;

  DriverApi api_;
  std::string path_;
  int version_ = 0;
};

// The kind of rk::Error that a result becomes.
const char* kind_of(Result result);
// No call on this context will succeed again.
bool is_sticky(Result result);
// What the user can do about it.
const char* advice_for(Result result);
// "12.4" of 12040.
std::string version_text(int version);

}  // namespace rk::cuda
