// What one grid needs of memory: sizes, where each part lies, and how it looks before the first lease.
//
// Protection: constant after init; what lies in the memory: device_grid.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "memory.h"
#include "ringkernel/abi/device_grid.h"
#include "ringkernel/runtime/backend.h"
#include "ringkernel/runtime/device_code.h"
#include "wire.h"

namespace rk::cuda {

struct GridShape {
  std::uint32_t instances = 1;
  std::uint32_t max_payload = 0;  // what a lane to it has room for
  std::uint32_t max_body = 0;     // of a record
  std::uint32_t window = 0, inbox_stride = 0;
  std::uint32_t state_bytes = 0, state_stride = 0, copy_stride = 0;
  std::uint32_t max_failures = 0;
  WireShape down, up;

  static GridShape of(const ResidentSpec& spec, const DeviceCode& code);
};

// The part that lies in the host's memory, as the bridge uses it.
struct GridLines {
  GridShape shape;
  HostLine* host = nullptr;
  const DeviceLine* device = nullptr;
  const InstanceStatus* status = nullptr;  // one for each instance
  const u64* latencies = nullptr;          // 2 * kLatencyWords for each instance
  u64* links = nullptr;                    // kMaxIncoming * kLinkWords for each instance; nullptr: there are no links
  Unit* down = nullptr;
  const Unit* up = nullptr;
  std::int32_t device_index = 0;  // whose memory the handlers reach
  DeviceAddress works = 0;        // InstanceWork of each instance, on the device

  DeviceAddress doorbell(std::uint32_t instance) const { return works + std::size_t{instance} * sizeof(InstanceWork); }
  u64* link(std::uint32_t instance, std::uint32_t place) const {
    return links + (std::size_t{instance} * kMaxIncoming + place) * kLinkWords;
  }
};

class GridMemory {
 public:
  // Throws what Heap does.
  GridMemory(std::shared_ptr<Heap> heap, const ResidentSpec& spec, const DeviceCode& code);

  const GridLines& lines() const { return lines_; }
  DeviceAddress grid() const { return device_.address() + grid_; }
  DeviceAddress state(std::uint32_t instance) const {
    return device_.address() + states_ + std::size_t{instance} * lines_.shape.state_stride;
  }
  Heap& heap() { return *heap_; }
  // A grid that does not leave may still use it.
  void abandon();

 private:
  void lay_out();
  void fill(const ResidentSpec& spec, const DeviceCode& code);

  std::shared_ptr<Heap> heap_;
  GridLines lines_;
  DeviceMemory device_;
  PinnedMemory pinned_;
  // Offsets in device_, then in pinned_.
  std::size_t grid_ = 0, works_ = 0, inboxes_ = 0, states_ = 0, initial_ = 0, copies_ = 0, latencies_ = 0, times_ = 0,
              targets_ = 0, links_ = 0, device_bytes_ = 0;
  std::size_t host_line_ = 0, device_line_ = 0, status_ = 0, latencies_host_ = 0, links_host_ = 0, control_ = 0,
              down_ = 0, up_ = 0, pinned_bytes_ = 0;
  std::uint32_t target_count_ = 0;
};

}  // namespace rk::cuda
