#include "cpu_kernel.h"

#include <atomic>
#include <utility>

namespace rk {
namespace {

// Several instances write to the device line: what one of them alone would store has to be added.
template <class T>
void add_shared(T& word, T amount) {
  if (amount != 0) std::atomic_ref<T>(word).fetch_add(amount, std::memory_order_relaxed);  // S
}

}  // namespace

CpuKernel::CpuKernel(ResidentSpec given, Scheduler& on, WaitGraph& waits)
    : spec(std::move(given)), scheduler(on), graph(waits) {
  keep_alive = std::exchange(spec.keep_alive, nullptr);
  const bool together = spec.handler->shares_a_lock();
  const Address first = spec.self;
  std::uint32_t index = 0;
  for (InstanceRecord& record : *spec.instances) {
    CpuInstance& instance = instances.emplace_back(*this, record, Address::make(first.node(), first.kernel(), index++));
    instance.movable = spec.worker < 0 && !together;
    instance.home = spec.worker >= 0 ? static_cast<std::uint32_t>(spec.worker) : together ? 0 : scheduler.next_home();
    record.inbox.set_owner(instance);
    record.late_mail = &instance;
  }
  living_.store_relaxed(static_cast<std::uint32_t>(instances.size()));  // K2 before anything runs
}

std::uint32_t CpuKernel::stop() const {
  const u32 asked = load_acquire(spec.control->should_terminate);                                     // K1
  return asked == kTerminateNo && own_stop_.load_relaxed() != 0 ? u32{kTerminateAfterDrain} : asked;  // S
}

void CpuKernel::fail() {
  failed_.store_relaxed(1);  // S
  poke_all();
}

void CpuKernel::stop_after_drain() {
  own_stop_.store_relaxed(1);  // S
  poke_all();
}

void CpuKernel::poke_all() {
  for (CpuInstance& instance : instances) instance.poke();
}

void CpuKernel::wake_all() {
  for (CpuInstance& instance : instances) instance.wake_if_wanted();
}

void CpuKernel::beat(std::uint64_t messages, std::uint64_t errors) {
  add_shared(spec.control->messages_processed, u64{messages});
  add_shared(spec.control->error_count, static_cast<u32>(errors));
  add_shared(spec.control->heartbeat, u64{1});
}

// The last one tells the host. Whoever joined may end the process: nothing of the kernel is touched afterwards.
void CpuKernel::instance_ended() {
  if (living_.fetch_sub_acq_rel(1) != 1) return;  // K2
  spec.handler->ends();
  store_release(spec.control->state, u32{failed() ? kDeviceFailed : kDeviceTerminated});  // K2
  store_release(spec.control->has_terminated, u32{1});                                    // K2
  spec.switchboard->on_end(spec.self);
  const std::shared_ptr<void> last = std::move(keep_alive);
  const std::lock_guard lock(mutex);
  ended = true;
  changed.notify_all();
}

}  // namespace rk
