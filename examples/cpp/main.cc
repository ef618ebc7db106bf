// An account and an audit as resident actors, and a call from the host. No Python is involved.
#include <cinttypes>
#include <cstdint>
#include <cstdio>

#include "ringkernel/runtime/actor_system.h"

namespace {

struct Deposit {
  static constexpr std::uint32_t kTypeId = 1;
  std::int64_t cents;
};

struct Balance {
  static constexpr std::uint32_t kTypeId = 2;
  std::int64_t cents;
  std::uint64_t deposits;
};

struct Account {
  std::int64_t cents = 0;
  std::uint64_t deposits = 0;
};

// What a handler returns is the reply; what it sends goes from ring to ring, without the host.
auto account_handler(rk::Address audit) {
  return rk::make_handler<Account>(
      rk::on<Deposit>([audit](rk::KernelContext& context, Account& mine, const Deposit& deposit) {
        mine.cents += deposit.cents;
        mine.deposits += 1;
        rk::send(context, audit, deposit);
        return Balance{mine.cents, mine.deposits};
      }));
}

auto audit_handler() {
  return rk::make_handler<Account>(rk::on<Deposit>([](rk::KernelContext&, Account& seen, const Deposit& deposit) {
    seen.cents += deposit.cents;
    seen.deposits += 1;
    if (deposit.cents < 0) std::printf("audit: a negative deposit of %" PRId64 " cents\n", deposit.cents);
  }));
}

}  // namespace

int main() {
  rk::ActorSystem system;
  const auto audit = system.launch("audit", audit_handler());
  rk::KernelOptions options;
  options.publishes_to = {"audit"};
  const auto account = system.launch("account", account_handler(audit->address()), options);

  constexpr std::int64_t kDeposits = 10'000;
  Balance balance{};
  for (std::int64_t cents = 1; cents <= kDeposits; ++cents) balance = rk::call<Balance>(*account, Deposit{cents});
  balance = rk::call<Balance>(*account, Deposit{-50});
  std::printf("balance %" PRId64 " cents after %" PRIu64 " deposits\n", balance.cents, balance.deposits);

  const rk::KernelTelemetry telemetry = account->telemetry();
  std::printf("handler p50 %" PRIu64 " ns, p99 %" PRIu64 " ns\n", telemetry.handler.percentile(50),
              telemetry.handler.percentile(99));
  return balance.cents == kDeposits * (kDeposits + 1) / 2 - 50 && balance.deposits == kDeposits + 1 ? 0 : 1;
}
