// A double of libcuda.so.1: launches.
#include <algorithm>
#include <chrono>
#include <thread>

#include "module.h"
#include "stream.h"
#include "world.h"

namespace rk = rk_double;
using rk::Result;
using rk::world;

namespace {

struct Launch {
  std::shared_ptr<rk::Function> function;
  unsigned blocks, threads;
  std::size_t shared_bytes;
  bool cooperative;
  std::vector<std::vector<char>> values;
};

void run_blocks(rk::Device& device, const Launch& launch, unsigned first, unsigned number) {
  std::vector<std::vector<char>> values = launch.values;
  std::vector<void*> pointers;
  for (auto& value : values) pointers.push_back(value.data());
  rk::Grid grid(device, first, number, launch.threads, launch.blocks);
  grid.run(launch.function->run, pointers.data());
}

// All blocks of a cooperative grid at once; of another one, as many as there is room for, then more.
void run_launch(rk::Device& device, const Launch& launch) {
  while (world().hang && !device.dead()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const int occupancy = device.occupancy(static_cast<int>(launch.threads), launch.shared_bytes);
  if (launch.cooperative) {
    if (!device.take_room(launch.blocks, occupancy)) return;
    world().count("grids", 1);
    run_blocks(device, launch, 0, launch.blocks);
    world().count("grids", -1);
    return device.give_room(launch.blocks, occupancy);
  }
  world().count("grids", 1);
  for (unsigned done = 0; done < launch.blocks;) {
    const unsigned number = device.take_some_room(launch.blocks - done, occupancy);
    if (number == 0) break;
    run_blocks(device, launch, done, number);
    device.give_room(number, occupancy);
    done += number;
  }
  world().count("grids", -1);
}

bool flat(unsigned y, unsigned z, unsigned v, unsigned w) { return y == 1 && z == 1 && v == 1 && w == 1; }

Result enqueue(void* handle, unsigned blocks, unsigned threads, unsigned shared_bytes, void* on, void** given,
               bool cooperative) {
  const auto function = rk::function_of(handle);
  const auto stream = rk::stream_of(on);
  if (function == nullptr || stream == nullptr) return rk::kInvalidHandle;
  if (blocks == 0 || threads == 0 || threads > static_cast<unsigned>(rk::kMaxThreads)) return rk::kInvalidValue;
  if (shared_bytes > static_cast<unsigned>(function->max_dynamic)) return rk::kInvalidValue;
  const int occupancy = stream->device.occupancy(static_cast<int>(threads), shared_bytes);
  if (occupancy == 0) return rk::kOutOfResources;
  if (cooperative && blocks > static_cast<unsigned>(occupancy * world().config.sms)) return rk::kCooperativeTooLarge;
  auto launch = std::make_shared<Launch>(Launch{function, blocks, threads, shared_bytes, cooperative, {}});
  int sizes[32] = {};
  const int number = function->sizes(sizes);
  if (number != 0 && given == nullptr) return rk::kInvalidValue;
  for (int i = 0; i < number; ++i) {
    const auto* bytes = static_cast<const char*>(given[i]);
    launch->values.emplace_back(bytes, bytes + sizes[i]);
  }
  stream->push([launch, device = &stream->device] { run_launch(*device, *launch); });
  return rk::kOk;
}

// CUlaunchAttribute and CUlaunchConfig.
struct Attribute {
  int id;
  char pad[4];
  int value[16];
};
struct Config {
  unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
  void* stream;
  const Attribute* attributes;
  unsigned attribute_count;
};
static_assert(sizeof(Attribute) == 72 && sizeof(Config) == 56);
constexpr int kCooperative = 2;

}  // namespace

RK_API Result cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned v,
                             unsigned w, unsigned shared_bytes, void* stream, void** values, void** extra) {
  RK_ENTER(cuLaunchKernel, kContext);
  if (!flat(y, z, v, w) || extra != nullptr) return rk::kInvalidValue;
  return enqueue(function, x, threads, shared_bytes, stream, values, false);
}
RK_API Result cuLaunchCooperativeKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads,
                                        unsigned v, unsigned w, unsigned shared_bytes, void* stream, void** values) {
  RK_ENTER(cuLaunchCooperativeKernel, kContext);
  if (!flat(y, z, v, w)) return rk::kInvalidValue;
  return enqueue(function, x, threads, shared_bytes, stream, values, true);
}
RK_API Result cuLaunchKernelEx(const Config* config, void* function, void** values, void** extra) {
  RK_ENTER(cuLaunchKernelEx, kContext);
  if (config == nullptr || extra != nullptr) return rk::kInvalidValue;
  if (!flat(config->grid_y, config->grid_z, config->block_y, config->block_z)) return rk::kInvalidValue;
  bool cooperative = false;
  for (unsigned n = 0; n < config->attribute_count; ++n) {
    const Attribute& one = config->attributes[n];
    if (one.id == kCooperative) cooperative = one.value[0] != 0;
  }
  return enqueue(function, config->grid_x, config->block_x, config->shared_bytes, config->stream, values, cooperative);
}
