// Leases, step by step: the test is the device.
#include <gtest/gtest.h>

#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

class CudaLease : public CudaTest {
 protected:
  CudaLease() : heap(make_heap()), module(make_module(heap)) {
    spec.label = "echo";
    spec.resident = &module->resident();
    spec.grid = reinterpret_cast<DeviceAddress>(&grid);
    spec.host_line = &grid.host;
    spec.device_line = &grid.device;
    spec.blocks = 3;
    spec.block_size = 128;
    spec.lease_ns = 1'000'000;
    spec.check_interval_ns = 0;
  }

  LeaseRunner& runner() {
    if (made == nullptr) made = std::make_unique<LeaseRunner>(heap->shared_device(), spec);
    return *made;
  }
  // As the pump does. What it throws.
  std::string tick(int times = 3) {
    return thrown_by([&] {
      for (int i = 0; i < times; ++i) runner().tick();
    });
  }
  std::size_t enqueued() const { return script.leases == nullptr ? 0 : script.leases->launches.size(); }
  std::uint64_t launches() { return runner().counts().launches; }

  // What the device does.
  void begin() { grid.device.lease_begun = script.leases->launches.front().lease; }
  void end() {
    grid.device.lease_ended = script.leases->launches.front().lease;
    script.leases->launches.pop_front();
  }
  void leave() {  // those that are told to
    while (enqueued() != 0 && script.leases->launches.front().lease <= grid.host.leave) {
      begin();
      end();
    }
  }

  ScriptGrid grid;
  std::shared_ptr<Heap> heap;
  std::shared_ptr<Module> module;
  LeaseSpec spec;
  std::unique_ptr<LeaseRunner> made;
};

TEST_F(CudaLease, NothingRunsUntilItIsWanted) {
  EXPECT_EQ(tick(), "");
  EXPECT_EQ(enqueued(), 0u);
  EXPECT_TRUE(runner().idle());
  EXPECT_EQ(heap->device().sms().blocks(), 3u);
  made.reset();
  EXPECT_EQ(heap->device().sms().blocks(), 0u);
}

TEST_F(CudaLease, OneIsEnqueuedBehindTheOneThatRuns) {
  runner().want(true);
  tick();
  ASSERT_EQ(enqueued(), 1u);
  EXPECT_EQ(script.leases->launches[0].lease, 1u);
  EXPECT_EQ(script.leases->launches[0].lease_ns, 1'000'000u);
  EXPECT_EQ(script.leases->launches[0].grid, &grid);
  begin();
  tick();
  ASSERT_EQ(enqueued(), 2u);
  EXPECT_EQ(script.leases->launches[1].lease, 2u);
  EXPECT_FALSE(runner().idle());
  runner().want(false);
  leave();
}

TEST_F(CudaLease, RenewalLeavesNoGap) {
  runner().want(true);
  tick();
  begin();
  tick();
  for (int lease = 1; lease < 100; ++lease) {
    ASSERT_EQ(enqueued(), 2u) << lease;
    end();
    ASSERT_EQ(enqueued(), 1u) << lease;  // the device goes on at once
    begin();
    tick(1);
  }
  EXPECT_EQ(runner().counts().launches, 101u);
  EXPECT_EQ(runner().counts().renewals, 100u);
  EXPECT_EQ(runner().counts().gaps, 0u);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, AGapIsCounted) {
  runner().want(true);
  tick();
  begin();
  end();  // before the host looked
  tick();
  EXPECT_EQ(runner().counts().gaps, 1u);
  EXPECT_EQ(enqueued(), 1u);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, NotWantedEverythingLeaves) {
  runner().want(true);
  tick();
  begin();
  tick();
  runner().want(false);
  EXPECT_EQ(grid.host.leave, 2u);
  tick();
  EXPECT_EQ(launches(), 2u);
  EXPECT_FALSE(runner().wait_idle(0));
  leave();
  EXPECT_TRUE(runner().wait_idle(0));
  EXPECT_EQ(tick(), "");
  EXPECT_EQ(launches(), 2u);
}

TEST_F(CudaLease, WantedAgainAFreshLeaseFollowsThoseThatLeave) {
  runner().want(true);
  tick();
  begin();
  tick();
  runner().want(false);
  runner().want(true);
  tick();
  EXPECT_EQ(enqueued(), 2u);  // both are told to leave, and the second has not begun
  leave();
  tick();
  ASSERT_EQ(enqueued(), 1u);
  EXPECT_EQ(script.leases->launches[0].lease, 3u);
  EXPECT_GT(3u, grid.host.leave);
  EXPECT_EQ(runner().counts().gaps, 0u);  // it was asked for
  begin();
  tick();
  EXPECT_EQ(enqueued(), 2u);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, WithoutEndThereIsOneLaunch) {
  spec.lease_ns = 0;
  runner().want(true);
  tick();
  begin();
  tick(10);
  EXPECT_EQ(enqueued(), 1u);
  runner().want(false);
  runner().want(true);
  tick();
  EXPECT_EQ(enqueued(), 2u);  // behind the one that leaves
  leave();
  tick();
  EXPECT_EQ(enqueued(), 1u);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, MayBeAnOrdinaryLaunch) {
  spec.cooperative = false;
  runner().want(true);
  tick();
  begin();
  tick();
  EXPECT_EQ(enqueued(), 2u);
  EXPECT_EQ(script.calls["cuLaunchCooperativeKernel"], 0);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, HoldsAreNestedAndEndByThemselves) {
  runner().want(true);
  tick();
  begin();
  runner().hold(true);
  runner().hold(true);
  EXPECT_EQ(grid.host.leave, 1u);
  leave();
  runner().hold(false);
  tick();
  EXPECT_EQ(launches(), 1u);
  EXPECT_TRUE(runner().idle());
  runner().hold(false);
  tick();
  EXPECT_EQ(launches(), 2u);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, StepsAsideForMemoryAndGoesOn) {
  runner().want(true);
  tick();
  begin();
  tick();
  heap->device().while_waiting([&] { leave(); });
  const DeviceMemory memory = heap->device_memory(100'000);
  heap->device().while_waiting({});
  tick();
  EXPECT_EQ(enqueued(), 1u);
  EXPECT_EQ(script.leases->launches[0].lease, 3u);
  EXPECT_EQ(script.disturbed, 0);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, GoesOnCountingAfterAnotherRunnerOfTheGrid) {
  runner().want(true);
  tick();
  begin();
  runner().want(false);
  leave();
  made.reset();
  runner().want(true);
  tick();
  EXPECT_EQ(script.leases->launches[0].lease, 2u);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, TooManyBlocksAreRefusedBeforeTheLaunch) {
  spec.blocks = 9;  // 4 SMs with 2 each
  const std::string error = thrown_by([&] { runner(); });
  EXPECT_NE(error.find("InsufficientSmsError: kernel 'echo' needs 9 resident blocks"), std::string::npos) << error;
  EXPECT_NE(error.find("there is room for 8"), std::string::npos) << error;
}

TEST_F(CudaLease, ALaunchThatTheDriverRefusesIsToldOnce) {
  script.fails["cuLaunchCooperativeKernel"] = kCooperativeLaunchTooLarge;
  runner().want(true);
  EXPECT_NE(tick().find("InsufficientSmsError: launching kernel 'echo' failed"), std::string::npos);
  EXPECT_TRUE(runner().failed());
  EXPECT_EQ(tick(), "");
  EXPECT_EQ(script.calls["cuLaunchCooperativeKernel"], 1);
  EXPECT_TRUE(runner().idle());
}

TEST_F(CudaLease, AStickyErrorEndsEveryRunnerOfTheDevice) {
  ScriptGrid second;
  LeaseSpec other = spec;
  other.host_line = &second.host;
  other.device_line = &second.device;
  other.label = "other";
  LeaseRunner neighbour(heap->shared_device(), other);
  runner().want(true);
  tick();
  begin();
  tick();
  script.fails["cuStreamQuery"] = kIllegalAddress;
  const std::string error = tick();
  EXPECT_NE(error.find("DeviceLostError: running kernel 'echo' failed: cuStreamQuery"), std::string::npos) << error;
  EXPECT_TRUE(heap->device().lost());
  EXPECT_TRUE(runner().idle());  // nothing runs on a device that is lost
  EXPECT_NE(thrown_by([&] { neighbour.tick(); }).find("DeviceLostError: running kernel 'echo'"), std::string::npos);
  EXPECT_TRUE(neighbour.failed());
  EXPECT_EQ(launches(), 2u);
}

TEST_F(CudaLease, AnErrorIsFoundWhileTheHostOnlyWaits) {
  runner().want(true);
  tick();
  begin();
  script.fails["cuStreamQuery"] = kLaunchFailed;
  runner().want(false);
  EXPECT_TRUE(runner().wait_idle(HostAtomics::monotonic_ns() + 1'000'000'000));
  EXPECT_NE(tick().find("DeviceLostError"), std::string::npos);
}

TEST_F(CudaLease, AGridThatLeavesWithoutAWordIsAFailure) {
  runner().want(true);
  tick();
  begin();
  grid.device.fault = kFaultRecord;
  grid.device.fault_detail = 77;
  script.leases->launches.clear();
  const std::string error = tick();
  EXPECT_NE(error.find("DeviceError: kernel 'echo' left the device without saying so (fault 2, 77)"), std::string::npos)
      << error;
  EXPECT_FALSE(heap->device().lost());
}

TEST_F(CudaLease, AGridThatDoesNotBeginIsAFailure) {
  spec.start_patience_ns = 0;
  runner().want(true);
  const std::string error = tick();
  EXPECT_NE(error.find("DeviceError: kernel 'echo' was launched on cuda:0"), std::string::npos) << error;
  EXPECT_NE(error.find("but did not begin within 0 ms"), std::string::npos) << error;
  EXPECT_EQ(grid.host.leave, 1u);
  leave();
}

TEST_F(CudaLease, IsAskedAboutEachTimeUntilItBeginsThenSeldom) {
  spec.check_interval_ns = 3'600'000'000'000;
  runner().want(true);
  tick(1);
  const int before = script.calls["cuStreamQuery"];
  tick(5);
  EXPECT_EQ(script.calls["cuStreamQuery"], before + 5);  // each is a kick
  begin();
  tick(1);  // launches the next
  const int running = script.calls["cuStreamQuery"];
  tick(50);
  EXPECT_EQ(script.calls["cuStreamQuery"], running);
  runner().want(false);
  leave();
}

TEST_F(CudaLease, AGridThatNeverLeavesKeepsWhatItUses) {
  runner().want(true);
  tick();
  begin();
  runner().want(false);
  EXPECT_FALSE(runner().wait_idle(0));
  made.reset();
  Device& device = heap->device();
  EXPECT_TRUE(device.abandoned());
  EXPECT_EQ(device.sms().blocks(), 3u);
  const std::string error = thrown_by([&] { heap->device_memory(100'000); });
  EXPECT_NE(error.find("kernel 'echo' did not leave it"), std::string::npos) << error;
  leave();  // late, but it does
  EXPECT_FALSE(device.abandoned());
  EXPECT_EQ(device.sms().blocks(), 0u);
  EXPECT_EQ(thrown_by([&] { heap->device_memory(100'000); }), "");
}

TEST_F(CudaLease, TheContextOfAGridThatRunsIsNotReleased) {
  runner().want(true);
  tick();
  begin();
  made.reset();
  module.reset();
  heap.reset();
  EXPECT_EQ(script.contexts, 1);
  EXPECT_EQ(script.modules, 1);
  EXPECT_EQ(script.calls["cuMemFree_v2"], 0);
}

}  // namespace
}  // namespace rk::cuda::test
