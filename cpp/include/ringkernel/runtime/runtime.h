// A runtime: one backend, one clock, and the kernels launched on them: found by name or address, connected, supervised.
//
// Protection: backend_, clock_, topics_, dead_letters_, registry_, supervisors_: constant after init, and themselves.
// kernels_, launching_, closed_, retired_, ports_: mutex_. edges_: edges_mutex_. message_ids_: atomic.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

#include "ringkernel/runtime/edge.h"
#include "ringkernel/runtime/kernel.h"
#include "ringkernel/runtime/registry.h"
#include "ringkernel/runtime/supervisors.h"
#include "ringkernel/runtime/switchboard.h"
#include "ringkernel/runtime/topics.h"

namespace rk {

struct RuntimeOptions {
  std::uint32_t node_id = 0;
  std::uint64_t max_drift_ntp64 = std::uint64_t{1} << 31;  // half a second
  std::size_t dead_letters = 1024;                         // how many are kept
};

// Everything that was sent in the runtime, wherever it is now.
struct RuntimeTotals {
  RingStats inboxes, outboxes, ports, subscriptions;

  RingStats all() const {
    RingStats sum = inboxes;
    sum += outboxes;
    sum += ports;
    sum += subscriptions;
    return sum;
  }
};

class Runtime final : public std::enable_shared_from_this<Runtime>, public Switchboard {
 public:
  Runtime(std::shared_ptr<Backend> backend, const RuntimeOptions& options);

  // Names are unique among living kernels. Throws Error, Lane::GeometryFailure, std::bad_alloc.
  std::shared_ptr<Kernel> launch(std::shared_ptr<Handler> handler, const KernelOptions& options,
                                 const Checkpoint* restore = nullptr);
  // launch() in steps, for who wants to know the kernel before the registry's watchers do.
  std::shared_ptr<Kernel> prepare(std::shared_ptr<Handler> handler, const KernelOptions& options,
                                  const Checkpoint* restore);
  void announce(Kernel& kernel);
  // Throws Error("UnknownKernelError") when a declared receiver does not exist; Kernel::activate's errors.
  void activate(Kernel& kernel, std::uint64_t deadline_ns, const Kernel::Poll& poll);

  std::shared_ptr<Kernel> find(const std::string& name);  // nullptr: none
  std::shared_ptr<Kernel> find(Address address);          // nullptr: none
  std::vector<std::shared_ptr<Kernel>> kernels();

  // Terminates what still runs, all at once. Idempotent, and never waits longer than the deadline; returns the names of
  // kernels whose handlers did not return. May be called again when `poll` threw.
  std::vector<std::string> close(std::uint64_t deadline_ns, const Kernel::Poll& poll);
  bool closed();

  // -- edges. Throws Error: also for kernels that have exchanged messages already.
  std::shared_ptr<Edge> connect(const std::string& from, const std::string& to, EdgeOptions options);
  std::vector<std::shared_ptr<Edge>> edges();

  // -- topics, from the host
  std::uint32_t publish_from_host(
      std::string_view topic, MessageHeader& header, const std::byte* payload, bool retain, std::uint64_t deadline_ns,
      const Topics::Poll& poll = [] {});
  std::shared_ptr<Subscription> subscribe(std::string pattern, const SubscriptionOptions& options,
                                          std::shared_ptr<Kernel> kernel);
  Topics& topics() { return topics_; }

  // -- what went wrong
  DeadLetters& dead_letters() { return dead_letters_; }
  // Sends letters again, to where they were bound or to `to`; returns how many. Those that cannot be sent stay.
  std::uint64_t replay(const std::vector<u64>& sequences, Kernel* to);
  Supervisors& supervisors() { return *supervisors_; }

  // -- host ports: an address of the host that replies can be sent to
  std::shared_ptr<HostPort> open_port(Address* address);

  Registry& registry() { return registry_; }
  Backend& backend() { return *backend_; }
  Hlc& clock() { return clock_; }
  std::atomic<std::uint64_t>& message_ids() { return message_ids_; }
  RuntimeTotals totals();

  // -- Switchboard
  Route open_route(const RouteRequest& request, std::shared_ptr<LaneSender> sender) override;
  std::optional<Address> find_receiver(const std::string& name) override;
  std::uint32_t choose_instance(Address kernel, std::uint32_t type_id, std::span<const std::byte> payload) override;
  std::uint32_t publish(std::string_view topic, const MessageHeader& header, const std::byte* payload,
                        bool retain) override;
  void bury(DeadLetterReason reason, Address kernel, const MessageHeader& header, const std::byte* payload,
            std::string_view error) override;
  std::uint64_t take_message_ids(std::uint64_t count) override;
  bool on_exit(Address instance, bool abnormal, const std::string& error) override;
  void on_end(Address kernel) override;

 private:
  void refresh_all();
  struct Retired {
    std::mutex mutex;
    RuntimeTotals totals;
  };

  std::shared_ptr<Kernel> add_kernel(std::shared_ptr<Handler> handler, const KernelOptions& options);
  std::uint32_t take_place(const std::string& name);
  void give_place(const std::string& name, std::uint32_t number, const std::shared_ptr<Kernel>& kernel);
  void check_name(const std::string& name);
  std::vector<std::shared_ptr<Kernel>> forget_ended();
  Route route_to_host(const RouteRequest& request, Kernel& from, std::shared_ptr<LaneSender> sender);
  std::shared_ptr<Edge> edge_between(const Kernel& from, const Kernel& to);
  void refused_by(Subscription& subscription, Status status, const MessageHeader& header, const std::byte* payload);
  bool replay_one(const DeadLetter& letter, Kernel* to);
  void watch_over(const std::shared_ptr<Kernel>& kernel);
  void look_for_hang(const std::weak_ptr<Kernel>& watched);

  std::shared_ptr<Backend> backend_;
  HostClock source_;
  Hlc clock_;
  Topics topics_;
  DeadLetters dead_letters_;
  Registry registry_;
  std::shared_ptr<Supervisors> supervisors_;
  std::shared_mutex mutex_;
  std::vector<std::shared_ptr<Kernel>> kernels_;  // kernel number n at n - 1; empty when it is over and forgotten
  std::vector<std::weak_ptr<Kernel>> ended_;      // over and forgotten, but somebody still has them
  std::shared_ptr<Retired> retired_;              // counts of kernels that are gone
  std::vector<std::weak_ptr<HostPort>> ports_;    // port n at n - 1
  std::vector<std::string> launching_;            // names that are taken by kernels that are being made
  bool closed_ = false;
  std::mutex edges_mutex_;
  std::map<std::pair<std::string, std::string>, std::shared_ptr<Edge>> edges_;  // by names: they outlive kernels
  std::atomic<std::uint64_t> message_ids_{kOwnMessageIds};
};

}  // namespace rk
