// What comes from the device for one instance, and what is answered.
#include <cstdio>
#include <cstring>
#include <utility>

#include "bridge.h"
#include "peer.h"
#include "ringkernel/runtime/control.h"
#include "ringkernel/runtime/error.h"

namespace rk::cuda {
namespace {

template <class Body>
Body body_in(std::span<const std::byte> bytes) {
  Body body{};
  if (bytes.size() >= sizeof(body)) std::memcpy(&body, bytes.data(), sizeof(body));
  return body;
}

Outcome outcome_of(const FailedBody& failed) {
  return failed.outcome == kFailRefused   ? Outcome::kRefused
         : failed.outcome == kFailStopped ? Outcome::kStopped
                                          : Outcome::kFailed;
}

std::string plain_text(const FailedBody& failed) {
  char text[64];
  std::snprintf(text, sizeof(text), "the handler failed with code 0x%08x in line %u", failed.code, failed.line);
  return text;
}

}  // namespace

// -- records from the device ------------------------------------------------------------------------------------------

bool Peer::act(const UpReader::Record& record) {
  if (over_) return true;  // what was given up
  switch (record.head.kind) {
    case kUpMessage:
      return on_message(record.body);
    case kUpSend:
      return on_send(record.body);
    case kUpReply:
      return on_reply(record.body);
    case kUpPublish:
      on_publish(record.body);
      return true;
    case kUpFreeSlots:
      on_free_slots(record.body);
      return true;
    case kUpBlocked:
      on_blocked(body_in<SendBody>(record.body));
      return true;
    case kUpFailed:
      on_failed(record.body);
      return true;
    case kUpExit:
      waits_ = true;
      report(false, "");
      return true;
    case kUpStop:
      bridge_.stop_after_drain();
      return true;
    case kUpEnded:
      gone_ = true;
      if (body_in<EndedBody>(record.body).failed != 0) bridge_.fail_kernel();
      return true;
    default:
      throw Error("DeviceError", "a record of kind " + std::to_string(record.head.kind) +
                                     " came from the device: its memory was overwritten, or the library is broken; "
                                     "please report it");
  }
}

Peer::Message Peer::message_in(std::span<const std::byte> body, std::size_t lead) {
  Message message{};
  if (body.size() >= lead + sizeof(MessageHeader)) {
    std::memcpy(&message.header, body.data() + lead, sizeof(MessageHeader));
    message.payload = body.data() + lead + sizeof(MessageHeader);
  }
  if (message.payload == nullptr || message.header.payload_size != body.size() - lead - sizeof(MessageHeader)) {
    throw Error("DeviceError",
                "a message of a size that cannot be came from the device: its memory was overwritten, "
                "or the library is broken; please report it");
  }
  shard_.merge(message.header.hlc);
  return message;
}

bool Peer::on_message(std::span<const std::byte> body) {
  const Message message = message_in(body, 0);
  host_full_ = false;
  const bool reply = (message.header.flags & kFlagReply) != 0;
  const Status status = sender_.send(message.header, message.payload, reply);
  if (sender_.waiting()) room_.store_relaxed(1);  // P1 own note
  if (host_full_) return false;
  if (status != Status::kOk && !reply) {
    bury(DeadLetterReason::kUndeliverable, message.header, message.payload, "the host takes no more");
  }
  return true;
}

// A name is looked up again when what had it is gone.
Peer::Sent Peer::send_to(const SendBody& asked, Message& message) {
  const std::uint32_t target = asked.target;
  if (target >= bridge_.code().targets.size()) return {Status::kUndeclared};
  Switchboard& switchboard = *bridge_.spec().switchboard;
  const auto try_one = [&](Address to) -> Sent {
    if (to.kernel() != 0) {
      std::uint32_t index = asked.instance;
      if (index >= KernelContext::kAnyInstance) {
        index = switchboard.choose_instance(to, message.header.type_id, {message.payload, message.header.payload_size});
      }
      to = Address::make(to.node(), to.kernel(), index);
    }
    message.header.dest = to.word;
    if (goes_by_link(target, to, message.header)) return {Status::kOk, to.instance(), true};
    return {sender_.send(message.header, message.payload, false)};
  };
  const std::optional<Address> known = bridge_.target(target, false);
  if (!known) return {};
  const Sent sent = try_one(*known);
  if (sent.status != Status::kClosed || host_full_) return sent;
  const std::optional<Address> now = bridge_.target(target, true);
  return !now || now->word == known->word ? Sent{} : try_one(*now);
}

bool Peer::on_send(std::span<const std::byte> body) {
  const auto asked = body_in<SendBody>(body);
  Message message = message_in(body, sizeof(SendBody));
  host_full_ = false;
  const Sent sent = send_to(asked, message);
  if (sender_.waiting()) room_.store_relaxed(1);  // P1 own note
  if (host_full_) return false;
  if (sent.by_link) {
    answer(asked.request, kAnswerByLink, sent.instance);
  } else {
    answer(asked.request, static_cast<u32>(sent.status));
  }
  return true;
}

bool Peer::on_reply(std::span<const std::byte> body) {
  const auto asked = body_in<SendBody>(body);
  const Message message = message_in(body, sizeof(SendBody));
  host_full_ = false;
  const Status status = sender_.send(message.header, message.payload, true);
  if (sender_.waiting()) room_.store_relaxed(1);  // P1 own note
  if (host_full_) return false;
  answer(asked.request, static_cast<u32>(status));
  return true;
}

void Peer::on_publish(std::span<const std::byte> body) {
  const auto asked = body_in<PublishBody>(body);
  const Message message = message_in(body, sizeof(PublishBody));
  Status status = Status::kNoMemory;  // no such topic reads the same
  std::uint64_t delivered = 0;
  try {
    if (asked.topic < bridge_.code().topics.size()) {
      delivered = bridge_.spec().switchboard->publish(bridge_.code().topics[asked.topic], message.header,
                                                      message.payload, asked.retain != 0);
      status = Status::kOk;
    }
  } catch (const Error&) {
    status = Status::kNoMemory;
  }
  answer(asked.request, static_cast<u32>(status), delivered);
}

void Peer::on_free_slots(std::span<const std::byte> body) {
  const auto asked = body_in<SendBody>(body);
  const bool known = asked.target < bridge_.code().targets.size();
  const std::optional<Address> to = known ? bridge_.target(asked.target, false) : std::nullopt;
  std::uint64_t free = 0;
  if (to) {
    const std::uint32_t index = asked.instance >= KernelContext::kAnyInstance ? 0 : asked.instance;
    free = sender_.free_slots(to->kernel() == 0 ? *to : Address::make(to->node(), to->kernel(), index));
  }
  answer(asked.request, static_cast<u32>(Status::kOk), free);
}

void Peer::on_failed(std::span<const std::byte> body) {
  const auto failed = body_in<FailedBody>(body);
  const Message message = message_in(body, sizeof(FailedBody));
  note_failed(message.header.message_id);
  if (failed.outcome == kFailLeftOver) return bury_left_over(message.header, message.payload, "");
  if (failed.outcome == kFailExpired) {
    InstanceRecord::add(record_.expired);
    bury(DeadLetterReason::kExpired, message.header, message.payload, kTooLateText);
    return answer_error(message.header, static_cast<std::uint32_t>(DeadLetterReason::kExpired));
  }
  const Outcome outcome = outcome_of(failed);
  const DeadLetterReason reason = reason_of(outcome);
  Handler& handler = *bridge_.spec().handler;
  handler.failed_on_device(self_.instance(), message.header, outcome, failed.code, failed.line);
  std::string error = handler.error_text(self_.instance());
  if (error.empty() && outcome != Outcome::kRefused) error = plain_text(failed);
  InstanceRecord::add(outcome == Outcome::kRefused ? record_.refused : record_.failed);
  bury(reason, message.header, message.payload, error);
  answer_error(message.header, static_cast<std::uint32_t>(reason));
  if (outcome == Outcome::kRefused) return;
  record_.last_error.store_relaxed(1);  // S
  if (failed.waits != 0) {
    waits_ = true;
    report(true, std::move(error));
  }
  if (failed.last != 0) bridge_.fail_kernel();
}

// Nobody who supervises it: it goes on as it is. One that is told to end ends.
void Peer::report(bool abnormal, std::string error) {
  if (bridge_.asked_to_stop() != kTerminateNo || bridge_.failed()) return;
  if (bridge_.spec().switchboard->on_exit(self(), abnormal, error)) return;
  waits_ = false;
  bridge_.put(kDownResume, self_.instance());
}

// -- answers ----------------------------------------------------------------------------------------------------------

void Peer::answer(std::uint64_t request, u32 status, std::uint64_t value) {
  const bool wait = must_wait();
  AnswerBody body{};
  body.request = request;
  body.value = value;
  body.status = status;
  body.hold = wait ? 1 : 0;
  if (wait) held_ = true;
  bridge_.put(kDownAnswer, self_.instance(), bytes_of(body));
  tell_hold(wait);
}

// A failure is told to who waits for the reply: the reason, in four bytes.
void Peer::answer_error(const MessageHeader& asked, std::uint32_t code) {
  if ((asked.flags & kFlagWantsReply) == 0) return;
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = kPriorityNormal;
  header.flags = kFlagReply | kFlagError;
  header.payload_size = sizeof(code);
  header.hlc = shard_.tick().time;
  header.message_id = ids_.next(*bridge_.spec().switchboard);
  header.correlation_id = asked.message_id;
  header.source = self().word;
  header.dest = asked.source;
  host_full_ = false;
  sender_.send(header, reinterpret_cast<const std::byte*>(&code), true);
  if (host_full_) late_answers_.emplace_back(header, code);
  sender_.publish();
  if (sender_.waiting()) room_.store_relaxed(1);  // P1 own note
}

bool Peer::send_late_answers() {
  while (!late_answers_.empty()) {
    const auto& [header, code] = late_answers_.front();
    host_full_ = false;
    sender_.send(header, reinterpret_cast<const std::byte*>(&code), true);
    if (host_full_) return false;
    late_answers_.pop_front();
    sender_.publish();
  }
  return true;
}

Address Peer::self() const {
  return Address::make(self_.node(), self_.kernel(), self_.instance(), record_.generation.load_relaxed());  // S
}

void Peer::bury(DeadLetterReason reason, const MessageHeader& header, const std::byte* payload,
                std::string_view error) {
  bridge_.spec().switchboard->bury(reason, self(), header, payload, error);
}

void Peer::bury_left_over(const MessageHeader& header, const std::byte* payload, std::string_view error) {
  InstanceRecord::add(record_.left_over);
  bury(DeadLetterReason::kTerminated, header, payload, error);
}

}  // namespace rk::cuda
