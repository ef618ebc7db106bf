#include "driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <utility>

namespace rk::cuda {
namespace {

constexpr const char* kInstall =
    "Install an NVIDIA driver for CUDA 12.0 or newer (R525), or use backend=\"cpu\"; `nvidia-smi` shows what there is";

[[noreturn]] void unavailable(const std::string& text) { throw Error("BackendUnavailableError", text); }

std::string wanted_path() {
  const char* given = std::getenv(kDriverVariable);
  return given != nullptr && *given != '\0' ? given : "libcuda.so.1";
}

// Read by the driver when it is initialised. EAGER: the first use of a kernel whose code is loaded lazily waits until
// nothing runs on the device. More connections: a stream that shares one with a resident grid waits behind it.
void prepare_environment() {
  constexpr int kKeep = 0;
  setenv("CUDA_MODULE_LOADING", "EAGER", kKeep);
  setenv("CUDA_DEVICE_MAX_CONNECTIONS", "32", kKeep);
}

// A debugging aid: each launch waits until its kernel ends, and resident ones do not.
void refuse_blocking_launches() {
  const char* given = std::getenv("CUDA_LAUNCH_BLOCKING");
  if (given == nullptr || *given == '\0' || std::string_view(given) == "0") return;
  unavailable(std::string("CUDA_LAUNCH_BLOCKING=") + given +
              " makes every launch wait until its kernel ends, and resident kernels stay: start without it");
}

template <class... P>
bool find(void* library, const char* symbol, Entry<P...>& entry) {
  entry.name = symbol;
  entry.function = reinterpret_cast<Result (*)(P...)>(dlsym(library, symbol));
  return entry.present();
}

}  // namespace

const Driver& Driver::get() {
  refuse_blocking_launches();
  static std::mutex mutex;
  static const Driver* opened = nullptr;  // never closed: threads of the driver may outlive static objects
  const std::lock_guard lock(mutex);
  if (opened == nullptr) opened = open(wanted_path()).release();
  return *opened;
}

std::unique_ptr<const Driver> Driver::open(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    unavailable("no CUDA driver found: " + std::string(why != nullptr ? why : path) + ". " + kInstall);
  }
  std::unique_ptr<Driver> driver(new Driver);
  driver->path_ = path;
  driver->resolve(library);
  driver->check_version();
  driver->initialise();
  return driver;
}

std::unique_ptr<const Driver> Driver::of(const DriverApi& api) {
  std::unique_ptr<Driver> driver(new Driver);
  driver->api_ = api;
  driver->path_ = "of functions";
  driver->check_version();
  driver->initialise();
  return driver;
}

void Driver::resolve(void* library) {
  std::string missing;
#define RK_CUDA_FIND(member, symbol, ...) \
  if (!find(library, symbol, api_.member)) missing += (missing.empty() ? "" : ", ") + std::string(symbol);
  RK_CUDA_REQUIRED(RK_CUDA_FIND)
#undef RK_CUDA_FIND
#define RK_CUDA_FIND(member, symbol, ...) find(library, symbol, api_.member);
  RK_CUDA_OPTIONAL(RK_CUDA_FIND)
#undef RK_CUDA_FIND
  if (missing.empty()) return;
  unavailable("the CUDA driver " + path_ + " is too old or no driver: it has no " + missing + ". " + kInstall);
}

void Driver::check_version() {
  const Result result = api_.driver_get_version(&version_);
  if (result != kSuccess) {
    unavailable("the CUDA driver " + path_ + " does not tell its version: " + name_of(result) + ". " + kInstall);
  }
  if (version_ >= kNeededDriver) return;
  unavailable("the CUDA driver is too old: found one for CUDA " + version_text(version_) + ", needed is " +
              version_text(kNeededDriver) + " or newer. " + kInstall);
}

void Driver::initialise() const {
  prepare_environment();
  const Result result = api_.init(0);
  if (result == kSuccess) return;
  const std::string advice = advice_for(result);
  unavailable("the CUDA driver cannot be used: " + std::string(api_.init.name) + " says " + name_of(result) + ". " +
              (advice.empty() ? kInstall : advice));
}

int Driver::device_count() const {
  int count = 0;
  check(api_.device_get_count(&count), api_.device_get_count.name, "counting the CUDA devices");
  return count;
}

std::string Driver::name_of(Result result) const {
  const char* name = nullptr;
  const char* text = nullptr;
  if (api_.get_error_name(result, &name) != kSuccess || name == nullptr) name = "CUDA error";
  if (api_.get_error_string(result, &text) != kSuccess || text == nullptr) text = "";
  return std::string(name) + " (" + std::to_string(result) + (*text != '\0' ? ": " : "") + text + ")";
}

void Driver::check(Result result, const char* entry, const std::string& doing) const {
  if (result == kSuccess) return;
  const std::string advice = advice_for(result);
  throw Error(kind_of(result),
              doing + " failed: " + entry + " says " + name_of(result) + (advice.empty() ? "" : ". " + advice));
}

const char* kind_of(Result result) {
  if (is_sticky(result)) return "DeviceLostError";
  switch (result) {
    case kOutOfMemory:
      return "DeviceMemoryError";
    case kLaunchOutOfResources:
    case kCooperativeLaunchTooLarge:
      return "InsufficientSmsError";
    case kNotInitialized:
    case kStubLibrary:
    case kCallRequiresNewerDriver:
    case kDeviceUnavailable:
    case kNoDevice:
    case kInvalidDevice:
    case kDeviceNotLicensed:
    case kSystemNotReady:
    case kSystemDriverMismatch:
    case kCompatNotSupportedOnDevice:
    case kMpsConnectionFailed:
    case kMpsServerNotReady:
    case kMpsMaxClientsReached:
    case kMpsMaxConnectionsReached:
      return "BackendUnavailableError";
    default:
      return "DeviceError";
  }
}

bool is_sticky(Result result) {
  switch (result) {
    case kDeinitialized:
    case kInvalidContext:
    case kEccUncorrectable:
    case kNvlinkUncorrectable:
    case kContained:
    case kIllegalAddress:
    case kLaunchTimeout:
    case kContextIsDestroyed:
    case kAssert:
    case kHardwareStackError:
    case kIllegalInstruction:
    case kMisalignedAddress:
    case kInvalidAddressSpace:
    case kInvalidPc:
    case kLaunchFailed:
    case kMpsRpcFailure:
    case kMpsClientTerminated:
    case kUnknown:
      return true;
    default:
      return false;
  }
}

const char* advice_for(Result result) {
  switch (result) {
    case kOutOfMemory:
      return "Launch fewer instances, use smaller capacities, or free device memory of this or other processes";
    case kNotInitialized:
      return "CUDA does not survive fork(): start processes with the 'spawn' method, or make the runtime in the child";
    case kStubLibrary:
      return "A stub for linking was found instead of the driver: remove its folder from LD_LIBRARY_PATH";
    case kCallRequiresNewerDriver:
    case kSystemDriverMismatch:
    case kCompatNotSupportedOnDevice:
      return "The driver and its kernel module, or the CUDA compatibility package, do not fit together: update the "
             "driver and reboot";
    case kDeviceUnavailable:
      return "Another process has the device for itself: end it, or set the compute mode to default "
             "(nvidia-smi -c DEFAULT)";
    case kNoDevice:
    case kInvalidDevice:
      return "No such device is visible to this process: look at nvidia-smi, CUDA_VISIBLE_DEVICES and the options of "
             "the container";
    case kDeviceNotLicensed:
      return "The virtual GPU has no license";
    case kInvalidImage:
    case kNoBinaryForGpu:
    case kUnsupportedPtxVersion:
      return "The machine code is not for this device and driver: empty the cache of compiled kernels, or update the "
             "driver";
    case kLaunchOutOfResources:
      return "Use a smaller block_size: a block needs more registers or threads than a multiprocessor has";
    case kCooperativeLaunchTooLarge:
      return "Launch fewer instances, use a smaller block_size, or terminate other kernels";
    case kLaunchTimeout:
      return "The device has a watchdog for kernels, because a display hangs on it: use shorter leases or another "
             "device. The process has to be restarted";
    case kSystemNotReady:
      return "The system is not ready: on NVSwitch machines start the fabric manager (nvidia-fabricmanager)";
    case kMpsConnectionFailed:
    case kMpsServerNotReady:
    case kMpsMaxClientsReached:
    case kMpsMaxConnectionsReached:
    case kMpsRpcFailure:
    case kMpsClientTerminated:
      return "Look at the MPS control daemon (nvidia-cuda-mps-control), and restart the process";
    case kNotPermitted:
    case kNotSupported:
      return "The device or its driver does not allow this; `pyringkernel doctor` shows what it can do";
    case kEccUncorrectable:
    case kNvlinkUncorrectable:
    case kContained:
      return "The hardware reported an error: look at `nvidia-smi -q` and the system log for Xid messages, and restart "
             "the process";
    case kIllegalAddress:
    case kMisalignedAddress:
    case kInvalidAddressSpace:
    case kInvalidPc:
    case kIllegalInstruction:
    case kHardwareStackError:
    case kLaunchFailed:
    case kAssert:
      return "A kernel of this process, of whatever library, went wrong and took its context with it; everything on "
             "the device is lost. Restart the process; compute-sanitizer finds the access";
    case kDeinitialized:
    case kInvalidContext:
    case kContextIsDestroyed:
      return "The device was reset by other code of this process, or the process is ending; make a new runtime";
    case kUnknown:
      return "Look at the system log for Xid messages, and restart the process";
    default:
      return "Look at `nvidia-smi` and the system log for Xid messages; if all is well there, please report it";
  }
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace rk::cuda
