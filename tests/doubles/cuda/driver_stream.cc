// A double of libcuda.so.1: streams and events.
#include "stream.h"
#include "world.h"

namespace rk = rk_double;
using rk::Result;
using rk::world;

namespace {

rk::Handles<rk::Event>& events() {
  static auto* made = new rk::Handles<rk::Event>;
  return *made;
}

Result make_stream(void** stream) {
  *stream = rk::streams().add(rk::Stream::make(*rk::current_device));
  world().count("streams", 1);
  return rk::kOk;
}

}  // namespace

RK_API Result cuStreamCreate(void** stream, unsigned) {
  RK_ENTER(cuStreamCreate, kContext);
  return make_stream(stream);
}
RK_API Result cuStreamCreateWithPriority(void** stream, unsigned, int) {
  RK_ENTER(cuStreamCreateWithPriority, kContext);
  return make_stream(stream);
}
RK_API Result cuStreamDestroy_v2(void* handle) {
  RK_ENTER(cuStreamDestroy_v2, kContext);
  if (rk::streams().take(handle) == nullptr) return rk::kInvalidHandle;
  world().count("streams", -1);
  return rk::kOk;
}
RK_API Result cuStreamQuery(void* handle) {
  RK_ENTER(cuStreamQuery, kContext);
  const auto stream = rk::stream_of(handle);
  if (stream == nullptr) return rk::kInvalidHandle;
  const bool idle = stream->idle();
  const Result fault = stream->device.sticky();  // looked at after the work that may have raised it
  return fault != rk::kOk ? fault : idle ? rk::kOk : rk::kNotReady;
}
RK_API Result cuStreamSynchronize(void* handle) {
  RK_ENTER(cuStreamSynchronize, kContext);
  const auto stream = rk::stream_of(handle);
  if (stream == nullptr) return rk::kInvalidHandle;
  stream->wait();
  return stream->device.sticky();
}
RK_API Result cuStreamWaitEvent(void* handle, void* mark, unsigned) {
  RK_ENTER(cuStreamWaitEvent, kContext);
  const auto stream = rk::stream_of(handle);
  const auto event = events().find(mark);
  if (stream == nullptr || event == nullptr) return rk::kInvalidHandle;
  event->make_wait(*stream);
  return rk::kOk;
}

// It is not called any more once the device has a fault: as the real one.
RK_API Result cuLaunchHostFunc(void* handle, void (*function)(void*), void* given) {
  RK_ENTER(cuLaunchHostFunc, kContext);
  const auto stream = rk::stream_of(handle);
  if (stream == nullptr) return rk::kInvalidHandle;
  if (function == nullptr) return rk::kInvalidValue;
  stream->push([device = &stream->device, function, given] {
    if (device->sticky() == rk::kOk) function(given);
  });
  return rk::kOk;
}

RK_API Result cuEventCreate(void** event, unsigned) {
  RK_ENTER(cuEventCreate, kContext);
  *event = events().add(rk::make_event());
  world().count("events", 1);
  return rk::kOk;
}
RK_API Result cuEventDestroy_v2(void* handle) {
  RK_ENTER(cuEventDestroy_v2, kContext);
  if (events().take(handle) == nullptr) return rk::kInvalidHandle;
  world().count("events", -1);
  return rk::kOk;
}
RK_API Result cuEventRecord(void* handle, void* on) {
  RK_ENTER(cuEventRecord, kContext);
  const auto stream = rk::stream_of(on);
  const auto event = events().find(handle);
  if (stream == nullptr || event == nullptr) return rk::kInvalidHandle;
  event->record(*stream);
  return rk::kOk;
}
RK_API Result cuEventQuery(void* handle) {
  RK_ENTER(cuEventQuery, kContext);
  const auto event = events().find(handle);
  if (event == nullptr) return rk::kInvalidHandle;
  return event->reached() ? rk::kOk : rk::kNotReady;
}
RK_API Result cuEventSynchronize(void* handle) {
  RK_ENTER(cuEventSynchronize, kContext);
  const auto event = events().find(handle);
  if (event == nullptr) return rk::kInvalidHandle;
  event->wait();
  return rk::current_device->sticky();
}
RK_API Result cuEventElapsedTime(float* milliseconds, void* start, void* end) {
  RK_ENTER(cuEventElapsedTime, kContext);
  const auto first = events().find(start), second = events().find(end);
  if (first == nullptr || second == nullptr) return rk::kInvalidHandle;
  std::uint64_t from = 0, to = 0;
  if (!first->times(from) || !second->times(to)) return rk::kNotReady;
  *milliseconds = static_cast<float>(static_cast<double>(to) - static_cast<double>(from)) / 1e6f;
  return rk::kOk;
}
