#include "control.h"

#include "world.h"

using rk_double::world;

namespace {

rk_double::Plan* plan_of(const char* entry) {
  const int number = rk_double::entry_number(entry);
  return number < 0 ? nullptr : &world().plans[static_cast<std::size_t>(number)];
}

}  // namespace

RK_API void rk_double_fail(const char* entry, int result, int after, int times) {
  const std::lock_guard lock(world().mutex);
  if (rk_double::Plan* plan = plan_of(entry)) *plan = {result, after, times, plan->delay_ms, false};
}
RK_API void rk_double_delay(const char* entry, int milliseconds) {
  const std::lock_guard lock(world().mutex);
  if (rk_double::Plan* plan = plan_of(entry)) plan->delay_ms = milliseconds;
}
RK_API void rk_double_forget_failures() {
  const std::lock_guard lock(world().mutex);
  world().plans.fill({});
}
RK_API void rk_double_sticky(int result) {
  for (auto& device : world().devices) result != 0 ? device->fault(result, true) : device->recover();
}
RK_API void rk_double_sticky_on(int index, int result) {
  if (rk_double::Device* device = rk_double::device_of(index)) {
    result != 0 ? device->fault(result, true) : device->recover();
  }
}
RK_API void rk_double_lose_device() {
  world().lost = true;
  rk_double_sticky(rk_double::kUnknown);
}
RK_API void rk_double_hang(int on) { world().hang = on != 0; }
RK_API void rk_double_freeze(int on) { world().frozen = on != 0; }
RK_API void rk_double_recover() {
  world().hang = world().frozen = world().lost = false;
  rk_double_forget_failures();
  rk_double_sticky(0);
}

RK_API const char* rk_double_entry(int number) {
  return number >= 0 && static_cast<std::size_t>(number) < rk_double::kEntries ? rk_double::kEntryNames[number]
                                                                               : nullptr;
}
RK_API int rk_double_calls(const char* entry) {
  const std::lock_guard lock(world().mutex);
  const int number = rk_double::entry_number(entry);
  return number < 0 ? 0 : world().calls[static_cast<std::size_t>(number)];
}
RK_API int rk_double_living(const char* what) {
  const std::lock_guard lock(world().mutex);
  return world().living[what];
}
