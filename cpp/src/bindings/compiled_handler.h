// A handler that was compiled from Python: bytecode or machine code behind the interface of ringkernel/compiled.h.
//
// Protection: code_, options: constant after init. Machine: the instance's worker, but for its stop word (itself).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "machine_handler.h"
#include "ringkernel/compiled.h"

namespace rk::py {

class CompiledHandler final : public MachineHandler {
 public:
  struct Entry {
    rk_run run = nullptr;
    const void* program = nullptr;
  };

  struct Code {
    std::vector<Entry> entries;  // as Given::accepts
    std::size_t frame_bytes = 0, shared_bytes = 0, message_bytes = 0;
    std::vector<std::string> topics;
    std::string file;                                           // of the Python function
    std::unordered_map<std::uint32_t, std::string> assertions;  // their texts, by line
    std::uint32_t longest_run = 64;                             // 1: a message may take long
  };

  CompiledHandler(Code code, Given given);

  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override;
  std::uint32_t longest_run() const override { return code_.longest_run; }
  std::uint32_t handle_run(KernelContext& context, const Run& run, Outcome* outcome) override;
  bool can_stop() const override { return true; }
  bool stop(std::uint32_t instance, std::uint64_t message_id) override;

 protected:
  void prepare(Instance& made, std::byte* extra, std::uint32_t index) override;
  std::string explain(Instance& failed) const override;

 private:
  struct Machine;
  struct Services;

  static std::size_t bytes_of(const Code& code);
  std::uint32_t run_holding(Instance& mine, std::size_t entry, const Run& run) const;
  std::uint32_t run_entry(Machine& machine, std::size_t entry, const Run& run, std::uint32_t count) const;
  Machine& machine_of(Instance& one) const;
  std::uint32_t same_type(const Run& run, const MessageHeader& first) const;

  Code code_;
};

}  // namespace rk::py
