#include "grid_memory.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "../instance_failure.h"
#include "ringkernel/runtime/control.h"
#include "ringkernel/runtime/error.h"
#include "ringkernel/runtime/lane.h"

namespace rk::cuda {
namespace {

constexpr std::uint32_t kLine = 128;
constexpr std::uint32_t kMostWindow = 64;                    // messages of one priority aboard an instance
constexpr std::size_t kInboxBytes = std::size_t{256} << 10;  // of one priority; large messages have fewer slots
constexpr std::uint32_t kLeastWindow = 4, kLeastSlots = 256;
constexpr std::uint32_t kLargestPayload = 16u << 20;  // both rings hold two of the largest, in pinned memory

std::uint32_t round_up_to(std::size_t bytes, std::size_t multiple) {
  return static_cast<std::uint32_t>((bytes + multiple - 1) / multiple * multiple);
}

std::uint32_t slots_for(std::uint32_t most_of_one, std::uint32_t at_least) {
  return std::bit_ceil(std::max({kLeastSlots, 2 * most_of_one, at_least}));
}

void refuse_huge(const ResidentSpec& spec) {
  if (spec.max_payload <= kLargestPayload) return;
  throw Error("UnsupportedOnTargetError",
              "kernel '" + spec.name + "' takes messages of up to " + std::to_string(spec.max_payload) +
                  " bytes, and a kernel on a GPU of up to " + std::to_string(kLargestPayload) +
                  " (16 MiB): let the message refer to a registered buffer, or launch with engine='llvm'");
}

}  // namespace

GridShape GridShape::of(const ResidentSpec& spec, const DeviceCode& code) {
  refuse_huge(spec);
  GridShape shape;
  shape.instances = static_cast<std::uint32_t>(spec.instances->size());
  // What senders of the host may put into a lane.
  shape.max_payload = lane_slot_size(spec.max_payload) - static_cast<std::uint32_t>(sizeof(MessageHeader));
  shape.max_body = static_cast<std::uint32_t>(sizeof(FailedBody) + sizeof(MessageHeader)) + shape.max_payload;
  shape.inbox_stride = round_up_to(kInboxLead + sizeof(MessageHeader) + shape.max_payload, kLine);
  const std::size_t fit = std::max<std::size_t>(kInboxBytes / shape.inbox_stride, kLeastWindow);
  const std::uint64_t wanted = std::min<std::uint64_t>(std::bit_ceil(std::max<std::uint64_t>(spec.capacity, 1)), fit);
  shape.window = static_cast<std::uint32_t>(std::min<std::uint64_t>(std::bit_floor(wanted), kMostWindow));
  shape.state_bytes = static_cast<std::uint32_t>(code.initial_state.size());
  shape.state_stride = round_up_to(shape.state_bytes, kLine);
  shape.copy_stride = round_up_to(code.copy_bytes, kLine);
  shape.max_failures = std::min(spec.max_failures, FailureWindow::kMost);
  const std::uint32_t units = 1 + round_up_to(shape.max_body, kUnitPayload) / kUnitPayload;
  shape.down.units = shape.up.units = std::clamp(round_up_to(units, 4), kMinUnits, kMaxUnits);
  const std::uint32_t most = slots_of_record(shape.max_body, shape.down.units);
  shape.down.slots = slots_for(most, 0);
  shape.up.slots = slots_for(most, 4 * shape.instances);
  return shape;
}

GridMemory::GridMemory(std::shared_ptr<Heap> heap, const ResidentSpec& spec, const DeviceCode& code)
    : heap_(std::move(heap)), target_count_(static_cast<std::uint32_t>(code.targets.size())) {
  lines_.shape = GridShape::of(spec, code);
  lines_.device_index = heap_->device().index();
  lay_out();
  device_ = heap_->device_memory(device_bytes_);
  pinned_ = heap_->pinned_memory(pinned_bytes_);
  auto* host = pinned_.data();
  lines_.host = reinterpret_cast<HostLine*>(host + host_line_);
  lines_.device = reinterpret_cast<const DeviceLine*>(host + device_line_);
  lines_.status = reinterpret_cast<const InstanceStatus*>(host + status_);
  lines_.latencies = reinterpret_cast<const u64*>(host + latencies_host_);
  lines_.links = reinterpret_cast<u64*>(host + links_host_);
  lines_.works = device_.address() + works_;
  lines_.down = reinterpret_cast<Unit*>(host + down_);
  lines_.up = reinterpret_cast<const Unit*>(host + up_);
  fill(spec, code);
}

void GridMemory::abandon() {
  device_.abandon();
  pinned_.abandon();
}

void GridMemory::lay_out() {
  const GridShape& shape = lines_.shape;
  const std::size_t n = shape.instances;
  const auto place = [](std::size_t& total, std::size_t bytes) {
    const std::size_t at = total;
    total += (bytes + kLine - 1) / kLine * kLine;
    return at;
  };
  const std::size_t latency_bytes = n * 2 * kLatencyWords * sizeof(u64);
  grid_ = place(device_bytes_, sizeof(GridBlock));
  works_ = place(device_bytes_, n * sizeof(InstanceWork));
  inboxes_ = place(device_bytes_, n * kPriorityCount * shape.window * shape.inbox_stride);
  states_ = place(device_bytes_, n * shape.state_stride);
  initial_ = place(device_bytes_, shape.state_stride);
  copies_ = place(device_bytes_, n * shape.copy_stride);
  latencies_ = place(device_bytes_, latency_bytes);
  times_ = place(device_bytes_, n * shape.max_failures * sizeof(u64));
  targets_ = place(device_bytes_, target_count_ * sizeof(LinkTarget));
  links_ = place(device_bytes_, n * kMaxIncoming * sizeof(u64));
  host_line_ = place(pinned_bytes_, sizeof(HostLine));
  device_line_ = place(pinned_bytes_, sizeof(DeviceLine));
  status_ = place(pinned_bytes_, n * sizeof(InstanceStatus));
  latencies_host_ = place(pinned_bytes_, latency_bytes);
  links_host_ = place(pinned_bytes_, n * kMaxIncoming * kLinkWords * sizeof(u64));
  control_ = place(pinned_bytes_, sizeof(ControlBlock));
  down_ = place(pinned_bytes_, shape.down.units_of_ring() * sizeof(Unit));
  up_ = place(pinned_bytes_, shape.up.units_of_ring() * sizeof(Unit));
}

void GridMemory::fill(const ResidentSpec& spec, const DeviceCode& code) {
  const GridShape& shape = lines_.shape;
  const auto on_device = [this](std::size_t offset) { return device_.address() + offset; };
  const auto on_host = [this](std::size_t offset) { return pinned_.address() + offset; };
  std::memcpy(pinned_.data() + control_, spec.control, sizeof(ControlBlock));  // the kernel's own is not pinned
  GridBlock block{};
  block.magic = kGridMagic;
  block.abi_version = kAbiVersion;
  block.instances = shape.instances;
  block.unit_count = shape.down.units;
  block.down_slots = shape.down.slots;
  block.up_slots = shape.up.slots;
  block.window = shape.window;
  block.inbox_stride = shape.inbox_stride;
  block.max_payload = shape.max_payload;
  block.state_bytes = shape.state_bytes;
  block.state_stride = shape.state_stride;
  block.copy_stride = shape.copy_stride;
  block.host_line = on_host(host_line_);
  block.device_line = on_host(device_line_);
  block.status = on_host(status_);
  block.latencies = on_device(latencies_);
  block.latencies_host = on_host(latencies_host_);
  block.down = on_host(down_);
  block.up = on_host(up_);
  block.inboxes = on_device(inboxes_);
  block.states = shape.state_bytes != 0 ? on_device(states_) : 0;
  block.initial_state = shape.state_bytes != 0 ? on_device(initial_) : 0;
  block.copies = shape.copy_stride != 0 ? on_device(copies_) : 0;
  block.works = on_device(works_);
  block.failure_times = shape.max_failures != 0 ? on_device(times_) : 0;
  block.targets = target_count_ != 0 ? on_device(targets_) : 0;
  block.control = on_host(control_);
  block.self = spec.self.word;
  block.links_host = on_host(links_host_);
  block.id_base = spec.switchboard->take_message_ids(std::uint64_t{shape.instances} << 32);
  block.max_drift = spec.clock->max_drift();
  block.failure_window = spec.failure_window_ns;
  block.max_failures = shape.max_failures;
  block.supervised = spec.supervised ? 1 : 0;
  block.restarts_on_exit = spec.restarts_on_exit ? 1 : 0;
  block.target_count = target_count_;
  const auto host = std::find(code.targets.begin(), code.targets.end(), "host");
  block.host_target = static_cast<u32>(host - code.targets.begin());  // behind the last: there is none
  heap_->write(on_device(grid_), &block, sizeof(block));
  std::vector<InstanceWork> works(shape.instances, InstanceWork{});
  for (std::uint32_t i = 0; i < shape.instances; ++i) {
    works[i].links = on_device(links_) + std::size_t{i} * kMaxIncoming * sizeof(u64);
  }
  heap_->write(on_device(works_), works.data(), works.size() * sizeof(InstanceWork));
  if (shape.state_bytes == 0) return;
  std::vector<std::byte> states(std::size_t{shape.state_stride} * shape.instances);
  for (std::uint32_t i = 0; i < shape.instances; ++i) {
    std::memcpy(states.data() + std::size_t{i} * shape.state_stride, code.initial_state.data(), shape.state_bytes);
  }
  heap_->write(on_device(initial_), states.data(), shape.state_stride);
  heap_->write(on_device(states_), states.data(), states.size());
}

}  // namespace rk::cuda
