// The host's half of a grid, as small as it can be: rings, commands, leases. One thread.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "launch.h"
#include "ringkernel/abi/address.h"
#include "ringkernel/abi/device_grid.h"
#include "ringkernel/abi/version.h"
#include "ringkernel/core/hlc.h"

#ifndef RK_BLOCK_SIZE
#define RK_BLOCK_SIZE 1
#endif

namespace grid_test {

using namespace rk;
using Bytes = std::vector<std::uint8_t>;

constexpr u32 kThreadsOfBlock = RK_BLOCK_SIZE > RK_ROUTER_WARPS* RK_LANES ? RK_BLOCK_SIZE : RK_ROUTER_WARPS* RK_LANES;
constexpr u64 kActive = kCommandActive;

template <class T>
Bytes bytes_of(const T& value) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(&value);
  return Bytes(first, first + sizeof(T));
}
template <class T>
T value_of(const Bytes& bytes, std::size_t at = 0) {
  T value{};
  EXPECT_LE(at + sizeof(T), bytes.size());
  if (at + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + at, sizeof(T));
  return value;
}

struct Record {
  RecordHead head;
  Bytes body;
  template <class Body>
  Body lead() const {
    return value_of<Body>(body);
  }
  MessageHeader header(std::size_t behind = 0) const { return value_of<MessageHeader>(body, behind); }
  Bytes payload(std::size_t behind = 0) const {
    return Bytes(body.begin() + static_cast<std::ptrdiff_t>(behind + sizeof(MessageHeader)), body.end());
  }
};

struct Shape {
  u32 instances = 1, units = 8, window = 4, slots = 32, max_payload = 1000, supervised = 0, restarts = 0;
  u32 max_failures = 3, targets = 0;
};

// Memory that is aligned to 128, zeroed, and freed with the grid.
class Memory {
 public:
  u64 take(std::size_t bytes) {
    const std::size_t size = (bytes + 127) / 128 * 128;
    kept_.emplace_back(std::aligned_alloc(128, size == 0 ? 128 : size), &std::free);
    std::memset(kept_.back().get(), 0, size);
    return reinterpret_cast<u64>(kept_.back().get());
  }

 private:
  std::vector<std::unique_ptr<void, decltype(&std::free)>> kept_;
};

template <class T>
T load(const T& word) {
  return __atomic_load_n(&word, __ATOMIC_ACQUIRE);
}
template <class T>
void store(T& word, std::type_identity_t<T> value) {
  __atomic_store_n(&word, value, __ATOMIC_RELEASE);
}

class Host {
 public:
  explicit Host(Shape shape = {}) : shape_(shape) {
    const u64 n = shape.instances;
    grid_ = at<GridBlock>(memory_.take(sizeof(GridBlock)));
    GridBlock& g = *grid_;
    g.magic = kGridMagic;
    g.abi_version = kAbiVersion;
    g.instances = shape.instances;
    g.unit_count = shape.units;
    g.down_slots = g.up_slots = shape.slots;
    g.window = shape.window;
    g.max_payload = shape.max_payload;
    g.inbox_stride = (kInboxLead + 64 + shape.max_payload + 127) / 128 * 128;
    g.state_bytes = g.state_stride = 64;
    g.copy_stride = 1024;
    g.host_line = memory_.take(sizeof(HostLine));
    g.device_line = memory_.take(sizeof(DeviceLine));
    g.status = memory_.take(sizeof(InstanceStatus) * n);
    g.latencies = memory_.take(8 * kLatencyWords * 2 * n);
    g.latencies_host = memory_.take(8 * kLatencyWords * 2 * n);
    g.down = memory_.take(std::size_t{16} * shape.units * shape.slots);
    g.up = memory_.take(std::size_t{16} * shape.units * shape.slots);
    g.inboxes = memory_.take(n * 4 * shape.window * g.inbox_stride);
    g.states = memory_.take(64 * n);
    g.initial_state = memory_.take(64);
    g.copies = memory_.take(1024 * n);
    g.works = memory_.take(sizeof(InstanceWork) * n);
    g.failure_times = memory_.take(8 * n * shape.max_failures);
    g.self = Address::make(1, 5).word;
    g.id_base = (u64{1} << 63) | u64{7} << 40;
    g.max_drift = u64{60} << 32;
    g.failure_window = 60'000'000'000;
    g.max_failures = shape.max_failures;
    g.supervised = shape.supervised;
    g.restarts_on_exit = shape.restarts;
    g.host_target = 0xFFFFFFFE;
    for (u32 i = 0; i < shape.instances; ++i) work(i).links = memory_.take(8 * kMaxIncoming);
    g.target_count = shape.targets;
    if (shape.targets != 0) {
      g.targets = memory_.take(sizeof(LinkTarget) * shape.targets);
      for (u32 t = 0; t < shape.targets; ++t) {
        at<LinkTarget>(g.targets)[t] = LinkTarget{memory_.take(sizeof(LinkEntry) * n), memory_.take(8), 0, 0, 1};
      }
    }
    command(kActive);
  }
  ~Host() { close(); }
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  template <class T>
  static T* at(u64 address) {
    return reinterpret_cast<T*>(address);
  }
  GridBlock& grid() { return *grid_; }
  HostLine& host() { return *at<HostLine>(grid_->host_line); }
  DeviceLine& device() { return *at<DeviceLine>(grid_->device_line); }
  InstanceWork& work(u32 i) { return at<InstanceWork>(grid_->works)[i]; }
  InstanceStatus& status(u32 i = 0) { return at<InstanceStatus>(grid_->status)[i]; }
  Memory& memory() { return memory_; }

  // -- leases
  u64 launch(u64 ns = 0) {
    join();
    const u64 lease = ++lease_;
    thread_ = std::thread([this, lease, ns] {
      run(rk_double_run_rk_resident, shape_.instances + 1, kThreadsOfBlock, {reinterpret_cast<u64>(grid_), lease, ns});
    });
    return lease;
  }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  void leave() {
    store(host().leave, lease_);
    join();
    EXPECT_EQ(load(device().lease_ended), lease_);
  }
  void close() {
    if (!thread_.joinable()) return;
    command(kCommandAbort);
    join();
  }

  // -- commands
  u64 command(u64 flags) {
    store(host().after, down_);
    store(host().command, ++epoch_ << kCommandEpochShift | flags);
    return epoch_;
  }
  void obeyed(u64 flags) {
    const u64 epoch = command(flags);
    for (u32 i = 0; i < shape_.instances; ++i) {
      until([&] { return load(status(i).epoch_seen) == epoch; });
    }
  }

  // -- down
  void record(u32 kind, u32 instance, const Bytes& body = {}) {
    Bytes all = bytes_of(RecordHead{kind, instance, static_cast<u32>(body.size())});
    all.insert(all.end(), body.begin(), body.end());
    const u32 slots = slots_of_record(static_cast<u32>(body.size()), shape_.units);
    until([&] { return down_ + slots - load(device().down_read) <= shape_.slots; });
    for (std::size_t done = 0, unit = 0; done < all.size(); done += 12, ++unit) {
      u32 words[4] = {};
      std::memcpy(words, all.data() + done, std::min<std::size_t>(12, all.size() - done));
      const u64 slot = down_ + unit / shape_.units;
      words[3] = static_cast<u32>(slot / shape_.slots + 1);
      u64 halves[2];
      std::memcpy(halves, words, 16);
      u64* to = at<u64>(grid_->down) + 2 * (slot % shape_.slots * shape_.units + unit % shape_.units);
      __atomic_store_n(to, halves[0], __ATOMIC_RELAXED);
      __atomic_store_n(to + 1, halves[1], __ATOMIC_RELEASE);
    }
    down_ += slots;
  }
  u64 post(u32 type, const Bytes& payload, u32 instance = 0, u8 priority = kPriorityNormal, u64 deadline = 0,
           u64 source = 0) {
    until([&] { return sent_[instance][priority] - taken(instance, priority) < shape_.window; });
    ++sent_[instance][priority];
    MessageHeader header{};
    header.version = 1;
    header.priority = priority;
    header.type_id = type;
    header.payload_size = static_cast<u32>(payload.size());
    header.message_id = ++ids_;
    header.source = source;
    header.deadline = deadline;
    header.flags = kFlagWantsReply;
    Bytes body = bytes_of(header);
    body.insert(body.end(), payload.begin(), payload.end());
    record(kDownMessage, instance, body);
    return ids_;
  }
  u32 taken(u32 instance, u32 priority) { return load((&status(instance).taken0)[priority]); }
  void answer(u64 request, u32 status, u64 value = 0, u32 hold = 0) {
    record(kDownAnswer, 0, bytes_of(AnswerBody{request, value, status, hold, 0}));
  }

  // -- up
  // The next record that is there.
  std::optional<Record> look() {
    Bytes all;
    std::size_t size = sizeof(RecordHead);
    for (std::size_t unit = 0; all.size() < size; ++unit) {
      const u64 slot = up_ + unit / shape_.units;
      const u64* from = at<u64>(grid_->up) + 2 * (slot % shape_.slots * shape_.units + unit % shape_.units);
      u64 halves[2];
      halves[1] = __atomic_load_n(from + 1, __ATOMIC_ACQUIRE);
      halves[0] = __atomic_load_n(from, __ATOMIC_RELAXED);
      if (halves[1] >> 32 != (slot / shape_.slots + 1)) return std::nullopt;
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(halves);
      all.insert(all.end(), bytes, bytes + 12);
      if (unit == 0) size += value_of<RecordHead>(all).bytes;
    }
    all.resize(size);
    Record record{value_of<RecordHead>(all), Bytes(all.begin() + sizeof(RecordHead), all.end())};
    up_ += slots_of_record(record.head.bytes, shape_.units);
    store(host().up_read, up_);
    return record;
  }
  Record next(u32 kind = 0) {
    std::optional<Record> found;
    until([&] { return (found = look()).has_value(); });
    if (!found) return {};
    if (kind != 0) {
      EXPECT_EQ(found->head.kind, kind);
    }
    return *found;
  }
  Bytes reply(u32 type) {
    const Record record = next(kUpMessage);
    EXPECT_EQ(record.header().type_id, type);
    return record.payload();
  }

  template <class Done>
  void until(Done done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(late_ ? 1 : 20);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) {
        if (!late_) ADD_FAILURE() << "nothing came";
        late_ = true;
        return;
      }
      std::this_thread::yield();
    }
  }

 private:
  Shape shape_;
  Memory memory_;
  GridBlock* grid_;
  std::thread thread_;
  u64 lease_ = 0, epoch_ = 0, down_ = 0, up_ = 0, ids_ = 0;
  u32 sent_[8][4] = {};
  bool late_ = false;
};

}  // namespace grid_test
