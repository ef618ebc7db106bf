// Devices of NVIDIA's driver in this process.
#pragma once

#include <memory>

namespace rk::cuda {
class Device;
}

namespace rk::py {

// Makes its context, which takes a while and memory of the device; it is kept as long as the object. Without the GIL.
// Throws Error: BackendUnavailableError and others.
std::shared_ptr<cuda::Device> open_device(int index);

}  // namespace rk::py
