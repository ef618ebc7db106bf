// Edges
//   N1  make -> use   the initial bytes of an instance's state, before anybody finds them
#include "machine_handler.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

namespace rk::py {

namespace {

constexpr std::size_t kErrorsKept = 256;

template <class... Arguments>
std::string text(const char* format, Arguments... arguments) {
  char line[128];
  std::snprintf(line, sizeof(line), format, arguments...);
  return line;
}

}  // namespace

MachineHandler::MachineHandler(Given given, std::size_t extra)
    : given_(std::move(given)), extra_(extra), instances_(given_.instances), targets_(given_.targets.size()) {
  static_assert(kAlign >= alignof(std::max_align_t) && alignof(MessageHeader) >= 8);
  for (auto& target : targets_) target.store_relaxed(kNowhere);  // S
}

MachineHandler::~MachineHandler() {
  for (Place& place : instances_) ::operator delete(place.load_relaxed(), std::align_val_t{kAlign});  // N1 alone
}

// -- instances --------------------------------------------------------------------------------------------------------

MachineHandler::Instance* MachineHandler::instance(std::uint32_t index) {
  Instance* made = instances_[index].load_acquire();  // N1
  return made != nullptr ? made : make(index);
}

// A worker and somebody who looks at the state may both be the first: one of them wins.
MachineHandler::Instance* MachineHandler::make(std::uint32_t index) {
  const std::vector<std::byte>& initial = given_.initial_state;
  constexpr std::align_val_t kBlock{kAlign};
  void* memory = ::operator new(sizeof(Instance) + state_bytes() + extra_, kBlock, std::nothrow);
  if (memory == nullptr) return nullptr;
  auto* made = new (memory) Instance;
  std::memset(made->state(), 0, state_bytes() + extra_);
  if (!initial.empty()) std::memcpy(made->state(), initial.data(), initial.size());
  prepare(*made, extra_of(*made), index);
  Instance* there = nullptr;
  while (!instances_[index].cas_acq_rel(there, made)) {  // N1
    if (there == nullptr) continue;
    ::operator delete(memory, kBlock);
    return instances_[index].load_acquire();  // N1
  }
  return made;
}

std::span<std::byte> MachineHandler::state_of(std::uint32_t index) {
  if (given_.initial_state.empty()) return {};
  Instance* mine = instance(index);
  if (mine == nullptr) throw std::bad_alloc();
  return {mine->state(), given_.initial_state.size()};
}

void MachineHandler::restart(std::uint32_t index) {
  const std::vector<std::byte>& initial = given_.initial_state;
  Instance* mine = instances_[index].load_acquire();  // N1
  if (mine != nullptr && !initial.empty()) std::memcpy(mine->state(), initial.data(), initial.size());
}

// What these refer to may refer to the runtime, which holds this handler.
void MachineHandler::ends() {
  given_.resolve = nullptr;
  given_.keep_alive = nullptr;
}

// -- messages ---------------------------------------------------------------------------------------------------------

// Another handler may have sent anything under a type's id: a size that is not the type's would be read over.
int MachineHandler::accepts(Instance& mine, const MessageHeader& header) const {
  const auto same_type = [&](const Accepted& one) { return one.type_id == header.type_id; };
  const auto found = std::find_if(given_.accepts.begin(), given_.accepts.end(), same_type);
  const bool known = found != given_.accepts.end();
  if (known && found->size == header.payload_size) return static_cast<int>(found - given_.accepts.begin());
  mine.code = 0;
  mine.field = nullptr;
  mine.type_id = header.type_id;
  mine.size_found = header.payload_size;
  mine.size_needed = known ? found->size : 0;
  return -1;
}

bool MachineHandler::hold(Instance& mine, std::size_t entry, const std::byte* payload, BufferHolds* holds) const {
  if (holds->take(references(entry), payload)) return true;
  note(mine, *holds);
  return false;
}

void MachineHandler::note(Instance& mine, const BufferHolds& refused) {
  mine.code = 0;
  mine.field = refused.field();
  mine.problem = refused.problem();
  mine.reference = refused.culprit();
}

std::string MachineHandler::error_text(std::uint32_t index) {
  Instance* mine = instances_[index].load_acquire();  // N1
  if (mine == nullptr) return "no memory for the state of this instance";
  if (mine->code != 0) return explain(*mine);
  if (mine->field != nullptr) return BufferTable::explain(mine->problem, *mine->field, mine->reference);
  if (mine->size_needed == 0) return text("the handler does not accept type id 0x%08x", mine->type_id);
  return text("found %u payload bytes of type id 0x%08x, need %u", mine->size_found, mine->type_id, mine->size_needed);
}

// Without memory for its text a failure is still one.
Outcome MachineHandler::fail(Outcome outcome, std::uint64_t message_id, std::uint32_t index) noexcept {
  try {
    const std::lock_guard lock(mutex_);
    errors_.emplace_back(message_id, error_text(index));
    if (errors_.size() > kErrorsKept) errors_.pop_front();
  } catch (const std::bad_alloc&) {
    return outcome;
  }
  return outcome;
}

std::string MachineHandler::take_error(std::uint64_t message_id) {
  const std::lock_guard lock(mutex_);
  const auto found =
      std::find_if(errors_.begin(), errors_.end(), [&](const auto& entry) { return entry.first == message_id; });
  if (found == errors_.end()) return {};
  std::string error = std::move(found->second);
  errors_.erase(found);
  return error;
}

// -- names ------------------------------------------------------------------------------------------------------------

// A name is looked up at its first use, and again when what had it is gone: another kernel may have it by now.
std::uint64_t MachineHandler::resolve(std::uint32_t target) {
  const std::uint64_t word = given_.resolve ? given_.resolve(target) : kNowhere;
  if (word != kNowhere) targets_[target].store_relaxed(word);  // S
  return word;
}

std::uint64_t MachineHandler::known_or_resolved(std::uint32_t target) {
  const std::uint64_t known = targets_[target].load_relaxed();  // S
  return known != kNowhere ? known : resolve(target);
}

Status MachineHandler::send_to(KernelContext& context, std::uint32_t target, std::uint32_t to_instance,
                               const Outgoing& message) {
  if (target >= targets_.size()) return Status::kUndeclared;
  const auto address = [&](std::uint64_t word) {
    const Address to{word};
    return to.kernel() == 0 ? to : Address::make(to.node(), to.kernel(), to_instance);
  };
  const std::uint64_t word = known_or_resolved(target);
  if (word == kNowhere) return Status::kClosed;
  const Status status = context.send(address(word), message);
  if (status != Status::kClosed) return status;
  const std::uint64_t now = resolve(target);
  return now == kNowhere || now == word ? Status::kClosed : context.send(address(now), message);
}

std::uint64_t MachineHandler::free_slots_to(KernelContext& context, std::uint32_t target) {
  const std::uint64_t word = target < targets_.size() ? known_or_resolved(target) : kNowhere;
  return word == kNowhere ? 0 : context.free_slots(Address{word});
}

}  // namespace rk::py
