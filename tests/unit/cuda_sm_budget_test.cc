// Which grids are admitted beside each other.
#include <gtest/gtest.h>

#include "cuda/sm_budget.h"
#include "cuda_script.h"

namespace rk::cuda::test {
namespace {

TEST(SmBudget, OneGridMayFillTheDevice) {
  const auto budget = std::make_shared<SmBudget>(4);
  EXPECT_EQ(budget->room(2), 8u);
  const SmShare share = budget->reserve("a", 8, 2);
  EXPECT_EQ(budget->blocks(), 8u);
  EXPECT_EQ(budget->room(2), 0u);
}

TEST(SmBudget, ALaunchThatDoesNotFitSaysFoundNeededAndWhatToDo) {
  const auto budget = std::make_shared<SmBudget>(4);
  const SmShare share = budget->reserve("a", 3, 2);
  const std::string error = thrown_by([&] { budget->reserve("b", 6, 2); });
  EXPECT_EQ(
      error,
      "InsufficientSmsError: kernel 'b' needs 6 resident blocks (one for each instance, one for its router); there "
      "is room for 5: 4 of 4 multiprocessors may be used, with 2 such blocks each; resident are 'a' (3 blocks). "
      "Launch fewer instances, use a smaller block_size, or terminate other kernels");
  EXPECT_EQ(budget->blocks(), 3u);
}

TEST(SmBudget, AShareComesBack) {
  const auto budget = std::make_shared<SmBudget>(4);
  SmShare first = budget->reserve("a", 8, 2);
  SmShare moved = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_TRUE(moved);
  EXPECT_EQ(budget->room(2), 0u);
  moved = SmShare();
  EXPECT_EQ(budget->room(2), 8u);
}

TEST(SmBudget, ABlockThatFitsNowhereIsRefused) {
  const auto budget = std::make_shared<SmBudget>(4);
  EXPECT_NE(thrown_by([&] { budget->reserve("a", 1, 0); }).find("InsufficientSmsError"), std::string::npos);
  EXPECT_EQ(budget->room(0), 0u);
}

TEST(SmBudget, SmallBlocksMayLieOnDifferentMultiprocessors) {
  const auto budget = std::make_shared<SmBudget>(4);
  const SmShare small = budget->reserve("small", 3, 16);
  EXPECT_EQ(budget->room(1), 1u);  // each of the three may be in the way of a block that needs a whole one
}

TEST(SmBudget, AResidentGridHasToFitAgainAtItsNextLease) {
  const auto budget = std::make_shared<SmBudget>(4);
  const SmShare large = budget->reserve("large", 3, 1);
  EXPECT_EQ(budget->room(16), 1u);  // one more, on an SM of the large ones between two leases, and that does not fit
}

TEST(SmBudget, ALimitHoldsForWhatComesLater) {
  const auto budget = std::make_shared<SmBudget>(4);
  const SmShare share = budget->reserve("a", 6, 2);
  budget->limit(2);
  EXPECT_EQ(budget->room(2), 0u);
  budget->limit(0);
  EXPECT_EQ(budget->room(2), 2u);
  budget->limit(100);
  EXPECT_EQ(budget->limit(), 4u);
}

// Whatever is admitted fits, wherever the device puts it: on tiny devices, all placements of the others are tried.
class Placement {
 public:
  Placement(std::uint32_t sms, std::uint32_t unit) : free_(sms, unit), unit_(unit) {}

  // The fewest blocks of `per_sm` that fit after the worst placement of `blocks` of `other_per_sm` each.
  std::uint32_t worst(std::uint32_t per_sm, std::uint32_t blocks, std::uint32_t other_per_sm, std::size_t from = 0) {
    if (blocks == 0) {
      std::uint32_t fit = 0;
      for (const std::uint32_t free : free_) fit += free / (unit_ / per_sm);
      return fit;
    }
    std::uint32_t worst_of_all = UINT32_MAX;
    for (std::size_t sm = from; sm < free_.size(); ++sm) {
      if (free_[sm] < unit_ / other_per_sm) continue;
      free_[sm] -= unit_ / other_per_sm;
      worst_of_all = std::min(worst_of_all, worst(per_sm, blocks - 1, other_per_sm, sm));
      free_[sm] += unit_ / other_per_sm;
    }
    return worst_of_all;
  }

 private:
  std::vector<std::uint32_t> free_;
  std::uint32_t unit_;
};

TEST(SmBudget, WhatIsAdmittedFitsBesideTheWorstPlacement) {
  constexpr std::uint32_t kUnit = 12;  // of which 1, 2, 3, 4 and 6 take whole parts
  for (const std::uint32_t sms : {1u, 2u, 3u}) {
    for (const std::uint32_t a : {1u, 2u, 3u, 4u, 6u}) {
      for (const std::uint32_t b : {1u, 2u, 3u, 4u, 6u}) {
        for (std::uint32_t blocks = 1; blocks <= a * sms; ++blocks) {
          const auto budget = std::make_shared<SmBudget>(sms);
          const SmShare share = budget->reserve("a", blocks, a);
          const std::uint32_t room = budget->room(b);
          EXPECT_LE(room, Placement(sms, kUnit).worst(b, blocks, a)) << sms << " " << a << " " << b << " " << blocks;
          if (room == 0) continue;
          EXPECT_GE(Placement(sms, kUnit).worst(a, room, b), blocks) << sms << " " << a << " " << b << " " << blocks;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rk::cuda::test
