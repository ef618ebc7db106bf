// What the host does for one instance on the device: the same as CpuInstance does around a handler.
//
// Edges
//   P1  note -> turn   the one who left it did something before: a verdict, room, a message
//   S1: bridge.h
//   S   counters
// and those of the lanes (lane.h).
//
// Protection: bridge_, record_, self_: constant after init. ready_, room_, restart_, cancel_, arrived_: atomic (P1).
// over_: end_mutex_ for those who come late. arriving_, places_, shut_: links_mutex_. Everything else: the bridge's
// turn.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../instance_failure.h"
#include "../instance_sender.h"
#include "link.h"
#include "ringkernel/core/dedup_window.h"
#include "ringkernel/runtime/backend.h"
#include "ringkernel/runtime/buffer_table.h"
#include "wire.h"

namespace rk::cuda {

class Bridge;

using MessageUse = std::function<void(const MessageHeader&, const std::byte*)>;

// Copies of messages that are on the device, of one instance and priority, in order.
class AboardRing {
 public:
  void push(std::uint32_t window, std::uint32_t stride, const MessageHeader& header, const std::byte* payload);
  // Those before `taken` are over. How many these are.
  std::uint32_t drop_until(std::uint32_t taken) {
    if (taken - first_ > count()) return 0;
    return taken - std::exchange(first_, taken);
  }
  void clear() { first_ = sent_; }

  // What the next one that is pushed refers to; it stays until that one is over.
  BufferHolds& hold_next() { return held_.emplace_back(sent_).holds; }
  void unhold_next() { held_.pop_back(); }
  // What those that are over referred to is not used any more.
  void drop_holds(std::vector<std::shared_ptr<void>>& owners);
  bool holds() const { return !held_.empty(); }
  void abandon_holds();
  std::uint32_t sent() const { return sent_; }
  std::uint32_t count() const { return sent_ - first_; }
  void for_each(const MessageUse& use) const;

 private:
  struct Held {
    explicit Held(std::uint32_t n) : number(n) {}
    std::uint32_t number;
    BufferHolds holds;
  };

  std::deque<Held> held_;
  std::vector<std::byte> bytes_;  // made with the first message
  std::uint32_t window_ = 0, stride_ = 0, first_ = 0, sent_ = 0;
};

class Peer final : public InboxOwner, public LaneSender, public LateMail, public SendingInstance {
 public:
  Peer(Bridge& bridge, InstanceRecord& record, Address self);

  // -- of other bridges, within their turns: see link.h
  std::optional<std::uint32_t> reserve_place();  // for a way to this instance; nothing: it takes no more of them
  void give_place(std::uint32_t place);
  void arrive(std::shared_ptr<Link> link);
  void take_left_over(const Link& link);  // when both ends are over
  bool holds_nothing() const;             // neither its lanes nor the device have a message that came by the host

  // -- any thread, with any lock
  void inbox_ready() override;          // a message came
  void take_late(Lane& lane) override;  // after its end
  void room_appeared() override;
  void restart();                       // the supervisor's verdict
  bool stop(std::uint64_t message_id);  // the handler of this message

  // -- within a turn
  bool act(const UpReader::Record& record);  // false: not now; the record stays
  bool look_at_links();                      // true: there was something to do
  bool is_linked() const { return !ways_in_.empty(); }
  bool has_way(std::uint32_t target) const;
  void leave_links();  // at the very end
  void collect_memory(std::vector<std::shared_ptr<DeviceMemory>>& of_links);
  bool serve();  // whatever else there is to do; true: something was
  // Messages; true: some. `may_refuse`: not where the caller has locks: what is to be refused stays for the next turn.
  bool send_down(bool may_refuse);
  void look();
  std::uint64_t handled() const { return handled_; }  // at its status
  void load_latencies(const u64* words);              // as they are now
  void count_handled();
  bool loads_for(std::uint64_t epoch);  // once for each epoch, when it has answered
  void publish() { sender_.publish(); }
  void end();
  void give_up(const std::string& why);  // what it has on the device is lost
  bool over() const { return over_; }
  void drop_holds();     // of messages that are over
  void abandon_holds();  // the device may use them for ever
  // There may be news of it: its status has to be looked at.
  bool busy() const {
    return aboard_ != 0 || !ways_in_.empty() || refers_ || backlog_ || waits_ || sender_.waiting() || held_ ||
           (finish_sent_ && !over_) || record_.busy_since.load_relaxed() != 0;  // S
  }
  std::uint64_t answered_epoch() const;
  void for_each_aboard(const MessageUse& use) const;
  void for_each_linked(const MessageUse& use) const;

  // -- of SendingInstance
  std::shared_ptr<LaneSender> keep() override;
  bool wait_for_host(const std::function<bool()>& ready) override;

 private:
  struct Message {
    MessageHeader header;
    const std::byte* payload;
  };

  bool on_message(std::span<const std::byte> body);
  bool on_send(std::span<const std::byte> body);
  bool on_reply(std::span<const std::byte> body);
  void on_publish(std::span<const std::byte> body);
  void on_free_slots(std::span<const std::byte> body);
  void on_failed(std::span<const std::byte> body);
  void report(bool abnormal, std::string error);
  Message message_in(std::span<const std::byte> body, std::size_t lead);
  struct Sent {
    Status status = Status::kClosed;
    std::uint32_t instance = 0;  // of the target, where it is to go by a link
    bool by_link = false;
  };
  Sent send_to(const SendBody& asked, Message& message);
  void answer(std::uint64_t request, u32 status, std::uint64_t value = 0);
  void answer_error(const MessageHeader& asked, std::uint32_t code);
  bool send_late_answers();
  void bury(DeadLetterReason reason, const MessageHeader& header, const std::byte* payload, std::string_view error);
  void bury_left_over(const MessageHeader& header, const std::byte* payload, std::string_view error);
  // peer_links.cc
  struct WayOut {
    std::shared_ptr<Link> link;
    Address to{0};
    std::uint64_t closed_with = 0;  // command behind the closing record; 0: it is open
  };
  struct WayIn {
    std::shared_ptr<Link> link;
    std::uint64_t looked_with = 0;  // command that was given to learn what is left, once the sender is silent
    std::uint64_t left_with = 0;    // command behind the record that takes it away; 0: it is there
  };
  bool goes_by_link(std::uint32_t target, Address to, const MessageHeader& header);
  bool open_way(std::uint32_t target, Address to, const MessageHeader& header);
  std::shared_ptr<Link> make_link(Bridge& receiver, Address to, const Route& route);
  void on_blocked(const SendBody& asked);
  bool look_at_ways_out();
  bool look_at_ways_in();
  void take_arrivals();
  void load_links();
  void shut_ways_in();
  bool all_silent() const;
  void end_links();
  void forget(std::shared_ptr<Link> link);
  bool refuse_early(const MessageHeader& header, const std::byte* payload);
  enum class Held : std::uint8_t { kYes, kRefused, kLater };
  Held hold(const MessageHeader& header, const std::byte* payload, bool may_refuse);
  bool has_room(std::uint32_t priority);
  void note_failed(std::uint64_t message_id);
  void bury_aboard();
  void settle_sender();
  bool must_wait();
  void tell_hold(bool on);
  bool finish();
  void mirror_busy();
  Address self() const;

  Bridge& bridge_;
  InstanceRecord& record_;
  Address self_;
  HlcHostShard shard_;
  InstanceSender sender_;
  MessageIds ids_;
  std::optional<DedupWindow> seen_;
  std::array<AboardRing, kPriorityCount> rings_;
  std::deque<std::pair<MessageHeader, std::uint32_t>> late_answers_;  // that failures wait with for room at the host
  std::string lost_;  // why what it has on the device does not come back
  std::uint32_t aboard_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t taken_ = 0, failed_ = 0;   // messages that it is done with; those that it said were not handled
  std::vector<std::uint64_t> failed_ids_;  // of these, which may be aboard yet
  std::uint64_t loaded_epoch_ = 0;
  std::uint32_t last_error_ = 0;

  HostAtomics::Atomic<std::uint32_t> ready_{0};    // P1
  HostAtomics::Atomic<std::uint32_t> room_{0};     // P1
  HostAtomics::Atomic<std::uint32_t> restart_{0};  // P1
  HostAtomics::Atomic<std::uint32_t> cancel_{0};   // P1 task; 0: none

  bool refers_ = false;                                      // buffers are held for messages
  std::unordered_map<std::uint64_t, WayOut> ways_out_;       // by target << 32 | instance of it
  std::unordered_map<std::uint64_t, std::uint64_t> no_way_;  // address of whom none leads to: when to try again
  std::vector<WayIn> ways_in_;
  std::uint64_t linked_before_ = 0, dropped_before_ = 0;  // by ways that are no more
  std::uint64_t linked_seen_ = 0;                         // of its status
  std::uint64_t shut_since_ = 0, look_again_ns_ = 0;
  HostAtomics::Atomic<std::uint32_t> arrived_{0};  // P1
  std::mutex links_mutex_;
  std::vector<std::shared_ptr<Link>> arriving_;
  std::vector<bool> places_;
  bool shut_ = false;

  bool backlog_ = false;  // messages wait in the lanes
  bool held_ = false;     // as the device was told last
  bool in_graph_ = false;
  bool link_waits_ = false;  // for room in a link, and takes no messages
  bool waits_ = false;       // for a verdict
  bool host_full_ = false;   // what it sends to the host has to wait on the device
  bool finish_sent_ = false;
  bool gone_ = false;  // the device has no more of it
  std::mutex end_mutex_;
  bool over_ = false;
};

}  // namespace rk::cuda
