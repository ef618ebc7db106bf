// Machine code for a device, and what a backend has to know of the handler that it was made from.
//
// Protection: constant after it was handed over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "ringkernel/runtime/buffer_table.h"

namespace rk {

struct DeviceCode {
  struct Accepted {
    std::uint32_t type_id = 0, size = 0;          // size: of the payload, in bytes
    std::vector<ReferenceField> references = {};  // what BufferHolds::take() has to find good before the message goes
  };

  std::shared_ptr<const std::vector<std::byte>> image;  // what the device's driver loads
  std::string arch;                                     // "sm_90"
  std::uint32_t block_size = 32;                        // threads that run the handler, of each instance
  std::uint32_t router_threads = 128;                   // RK_ROUTER_WARPS * RK_LANES of the code
  std::uint32_t shared_bytes = 0;                       // dynamic shared memory of each block
  std::uint32_t copy_bytes = 0;                         // largest payload of the classes that the handler writes to
  std::vector<std::byte> initial_state;                 // of every instance; empty: it has none
  std::vector<Accepted> accepts;
  std::vector<std::string> targets;  // the names that it sends to, by index; "host" is the host
  std::vector<std::string> topics;   // those that it publishes to, by index

  bool accepts_references() const {
    for (const Accepted& one : accepts) {
      if (!one.references.empty()) return true;
    }
    return false;
  }

  // For people: where the Python function is, and what its assertions say, by line.
  std::string file;
  std::unordered_map<std::uint32_t, std::string> assertions;

  // A grid's options.
  int device = -1;             // which of the backend's it is for; -1: the first that has room
  std::uint64_t lease_ns = 0;  // 0: what the backend was made with
};

}  // namespace rk
