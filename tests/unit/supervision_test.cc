// Supervision: what is stopped, restarted and failed, in which order, and how it is counted. The actions are compared
// as text: "stop c; end b; restart a" (end: stopped for good), with "a.1" for an instance and "@7" for a restart that
// waits.
#include "ringkernel/runtime/supervision.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "ringkernel/runtime/error.h"

namespace rk {
namespace {

using Kind = Action::Kind;
using Ids = std::vector<std::uint32_t>;

constexpr Restart kRestarts[] = {Restart::kPermanent, Restart::kTransient, Restart::kTemporary};
constexpr Strategy kStrategies[] = {Strategy::kOneForOne, Strategy::kOneForAll, Strategy::kRestForOne};
constexpr std::uint64_t kPeriod = 100;
constexpr std::uint64_t kEnd = ~std::uint64_t{0};

SupervisorOptions options(const char* name, Strategy strategy = Strategy::kOneForOne, std::uint32_t intensity = 3) {
  SupervisorOptions made;
  made.name = name;
  made.strategy = strategy;
  made.intensity = intensity;
  made.period_ns = kPeriod;
  return made;
}

std::string text_of(const SupervisionTree& tree, const Action& action, std::uint64_t now) {
  const bool for_good = action.for_good;
  const char* verbs[] = {for_good ? "end " : "stop ", "restart ", "fail ", "failed ", "root "};
  std::string text = verbs[static_cast<std::size_t>(action.kind)] + tree.name(action.id);
  if (action.instance != kAllInstances) text += "." + std::to_string(action.instance);
  if (action.kind == Kind::kRestart && action.not_before_ns != now) text += "@" + std::to_string(action.not_before_ns);
  return text;
}

std::string text_of(const SupervisionTree& tree, const std::vector<Action>& actions, std::uint64_t now = 0) {
  std::string text;
  for (const Action& action : actions) text += (text.empty() ? "" : "; ") + text_of(tree, action, now);
  return text;
}

class Supervision : public testing::Test {
 protected:
  std::string fails(std::uint32_t worker, std::uint64_t now = 0, std::uint32_t instance = 0) {
    return text_of(tree, tree.on_exit(worker, instance, true, true, now), now);
  }
  std::string ends(std::uint32_t worker, std::uint64_t now = 0, std::uint32_t instance = 0) {
    return text_of(tree, tree.on_exit(worker, instance, false, true, now), now);
  }
  std::string hangs(std::uint32_t worker, std::uint64_t now = 0, std::uint32_t instance = 0) {
    return text_of(tree, tree.on_exit(worker, instance, true, false, now), now);
  }
  std::uint32_t worker(std::uint32_t supervisor, const char* name, Restart restart = Restart::kPermanent,
                       std::uint32_t instances = 1) {
    return tree.add_worker(supervisor, restart, name, instances);
  }
  SupervisionTree tree;
};

template <class Use>
std::string error_of(Use use) {
  try {
    use();
  } catch (const Error& error) {
    return error.kind();
  }
  return "";
}

// ---- strategies and restart kinds ----

// What a root with the workers a, b, c does when `failing` exits, from the rules alone.
std::string expected(Strategy strategy, const std::array<Restart, 3>& kinds, std::size_t failing, bool abnormal) {
  const char* names[] = {"a", "b", "c"};
  const bool restarts = kinds[failing] == Restart::kPermanent || (kinds[failing] == Restart::kTransient && abnormal);
  if (!restarts) return abnormal ? std::string("fail ") + names[failing] + ".0" : "";
  if (strategy == Strategy::kOneForOne) return std::string("restart ") + names[failing] + ".0";
  const std::size_t first = strategy == Strategy::kOneForAll ? 0 : failing;
  std::string text;
  const auto add = [&](const char* verb, std::size_t i) {
    text += (text.empty() ? "" : "; ") + (verb + std::string(names[i]));
  };
  for (std::size_t i = 3; i-- > first;)
    if (i != failing) add(kinds[i] == Restart::kTemporary ? "end " : "stop ", i);
  for (std::size_t i = first; i < 3; ++i)
    if (kinds[i] != Restart::kTemporary) add("restart ", i);
  return text;
}

TEST(SupervisionCases, every_strategy_with_every_kind_of_three_children_and_every_exit) {
  for (const Strategy strategy : kStrategies)
    for (int mix = 0; mix < 27; ++mix)
      for (std::size_t failing = 0; failing < 3; ++failing)
        for (const bool abnormal : {false, true}) {
          const std::array<Restart, 3> kinds{kRestarts[mix / 9], kRestarts[mix / 3 % 3], kRestarts[mix % 3]};
          SupervisionTree tree;
          const auto root = tree.add_supervisor(0, options("root", strategy));
          const std::uint32_t ids[] = {tree.add_worker(root, kinds[0], "a"), tree.add_worker(root, kinds[1], "b"),
                                       tree.add_worker(root, kinds[2], "c")};
          const std::string wanted = expected(strategy, kinds, failing, abnormal);
          const std::string got = text_of(tree, tree.on_exit(ids[failing], 0, abnormal, true, 0));
          ASSERT_EQ(got, wanted) << "strategy " << int(strategy) << " mix " << mix << " failing " << failing;
          const bool restarted = wanted.find("restart") != std::string::npos;
          ASSERT_EQ(tree.restarts(root), restarted ? 1u : 0u);
          if (!restarted) {
            ASSERT_EQ(tree.state(ids[failing]), abnormal ? ChildState::kFailed : ChildState::kTerminated);
            ASSERT_EQ(tree.children(root).size(), 2u);
          }
        }
}

TEST_F(Supervision, a_child_that_left_is_not_started_with_its_siblings) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForAll));
  const auto a = worker(root, "a"), b = worker(root, "b", Restart::kTransient), c = worker(root, "c");
  EXPECT_EQ(ends(b), "");
  EXPECT_EQ(fails(a), "stop c; restart a; restart c");
  EXPECT_EQ(tree.children(root), (Ids{a, c}));
  EXPECT_EQ(tree.restarts(b), 0u);
}

TEST_F(Supervision, one_for_one_restarts_the_failed_instance_only) {
  const auto root = tree.add_supervisor(0, options("root"));
  const auto a = worker(root, "a", Restart::kPermanent, 3);
  EXPECT_EQ(fails(a, 0, 1), "restart a.1");
  EXPECT_EQ(fails(a, 0, 2), "restart a.2");
  EXPECT_EQ(fails(a, 0, 1), "restart a.1");
  EXPECT_EQ(tree.restarts(a), 3u);
  EXPECT_EQ(tree.generation(a, 0), 0u);
  EXPECT_EQ(tree.generation(a, 1), 2u);
  EXPECT_EQ(fails(a, 0, 0), "fail a; root root") << "instances share the intensity";
}

TEST_F(Supervision, a_group_takes_all_instances_along_the_failed_ones_siblings_too) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kRestForOne));
  worker(root, "a", Restart::kPermanent, 2);
  const auto b = worker(root, "b", Restart::kPermanent, 2), c = worker(root, "c", Restart::kPermanent, 3);
  EXPECT_EQ(fails(b, 0, 1), "stop c; stop b; restart b; restart c");
  EXPECT_EQ(tree.restarts(b), 2u);
  EXPECT_EQ(tree.restarts(c), 3u);
  EXPECT_EQ(tree.restarts(root), 1u);
}

TEST_F(Supervision, instances_that_ended_stay_out_and_the_last_one_ends_the_worker) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForAll));
  const auto a = worker(root, "a"), b = worker(root, "b", Restart::kTransient, 3);
  EXPECT_EQ(ends(b, 0, 1), "");
  EXPECT_EQ(fails(a), "stop b.2; stop b.0; restart a; restart b.0; restart b.2");
  EXPECT_EQ(fails(b, 0, 2), "stop b.0; stop a; restart a; restart b.0; restart b.2");
  EXPECT_EQ(error_of([&] { fails(b, 0, 1); }), "SupervisorTerminatedError");
  EXPECT_EQ(ends(b, 0, 0), "");
  EXPECT_EQ(tree.state(b), ChildState::kRunning);
  EXPECT_EQ(ends(b, 0, 2), "");
  EXPECT_EQ(tree.state(b), ChildState::kTerminated);
  EXPECT_EQ(tree.restarts(b), 4u);
}

TEST_F(Supervision, a_temporary_worker_failed_if_one_of_its_instances_did) {
  const auto root = tree.add_supervisor(0, options("root"));
  const auto a = worker(root, "a", Restart::kTemporary, 2);
  EXPECT_EQ(fails(a, 0, 1), "fail a.1");
  EXPECT_EQ(tree.state(a), ChildState::kRunning);
  EXPECT_EQ(ends(a, 0, 0), "");
  EXPECT_EQ(tree.state(a), ChildState::kFailed);
}

// ---- intensity ----

TEST(SupervisionCases, the_kth_restart_is_fine_and_the_next_one_is_not) {
  for (std::uint32_t k = 0; k < 6; ++k) {
    SupervisionTree tree;
    const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForOne, k));
    const auto a = tree.add_worker(root, Restart::kPermanent, "a"), b = tree.add_worker(root, Restart::kPermanent, "b");
    for (std::uint32_t i = 0; i < k; ++i) ASSERT_EQ(text_of(tree, tree.on_exit(a, 0, true, true, 0)), "restart a.0");
    ASSERT_EQ(text_of(tree, tree.on_exit(a, 0, true, true, kPeriod)), "fail b; fail a; root root") << k;
    ASSERT_EQ(tree.restarts(root), k);
    for (const auto id : {root, a, b}) ASSERT_EQ(tree.state(id), ChildState::kFailed);
  }
}

// All sequences of six failures whose distances lie around the period, against OTP's rule counted afresh each time.
TEST(SupervisionCases, the_window_slides_as_in_otp) {
  constexpr std::uint64_t kGaps[] = {0, 1, kPeriod / 2, kPeriod - 1, kPeriod, kPeriod + 1};
  for (int sequence = 0; sequence < 7776; ++sequence)
    for (std::uint32_t intensity = 0; intensity < 4; ++intensity) {
      SupervisionTree tree;
      const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForOne, intensity));
      const auto a = tree.add_worker(root, Restart::kPermanent, "a");
      std::vector<std::uint64_t> times;
      std::uint64_t now = 0;
      for (int rest = sequence, i = 0; i < 6; ++i, rest /= 6) {
        now += kGaps[rest % 6];
        times.push_back(now);
        std::uint32_t counted = 0;
        for (const std::uint64_t time : times) counted += time + kPeriod >= now ? 1 : 0;
        const std::string got = text_of(tree, tree.on_exit(a, 0, true, true, now), now);
        ASSERT_EQ(got, counted <= intensity ? "restart a.0" : "fail a; root root") << sequence << " " << intensity;
        if (counted > intensity) break;
      }
    }
}

TEST_F(Supervision, ten_thousand_failures_are_counted_exactly) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForOne, 4));
  std::array<std::uint32_t, 5> ids;
  for (auto& id : ids) id = worker(root, "w", Restart::kPermanent, 2);
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> wanted;
  std::mt19937 random(7);
  for (std::uint64_t i = 1; i <= 10'000; ++i) {
    const std::uint32_t id = ids[random() % 5], instance = random() % 2;
    // Four in a period: the fifth comes when the first is 101 old.
    const auto actions = tree.on_exit(id, instance, random() % 2 == 0, true, i / 4 * (kPeriod + 1) + i % 4);
    ASSERT_EQ(actions.size(), 1u);
    ASSERT_EQ(actions[0].kind, Kind::kRestart);
    ASSERT_EQ(tree.restarts(root), i);
    ++wanted[{id, instance}];
  }
  for (const auto id : ids) {
    EXPECT_EQ(tree.restarts(id), (wanted[{id, 0}] + wanted[{id, 1}]));
    for (std::uint32_t instance = 0; instance < 2; ++instance)
      EXPECT_EQ(tree.generation(id, instance), (wanted[{id, instance}]));
  }
}

TEST_F(Supervision, exits_that_are_not_answered_count_no_restart) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForAll, 1));
  const auto a = worker(root, "a");
  for (int i = 0; i < 10; ++i) {
    fails(worker(root, "t", Restart::kTemporary));
    ends(worker(root, "n", Restart::kTransient));
  }
  EXPECT_EQ(tree.restarts(root), 0u);
  EXPECT_EQ(fails(a), "restart a");
}

// ---- escalation ----

class Nested : public Supervision {
 protected:
  // root(one_for_one, 1) > x, mid(rest_for_one, 1) > p, leaf(one_for_one, 0) > a, b;  q
  void SetUp() override {
    root = tree.add_supervisor(0, options("root", Strategy::kOneForOne, 1));
    x = worker(root, "x");
    mid = tree.add_supervisor(root, options("mid", Strategy::kRestForOne, 1));
    p = worker(mid, "p");
    leaf = tree.add_supervisor(mid, options("leaf", Strategy::kOneForOne, 0));
    a = worker(leaf, "a");
    b = worker(leaf, "b");
    q = worker(mid, "q");
  }
  std::uint32_t root, x, mid, p, leaf, a, b, q;
};

TEST_F(Nested, a_failure_climbs_as_far_as_it_must) {
  EXPECT_EQ(fails(a), "stop b; failed leaf; stop q; restart leaf; restart a; restart b; restart q");
  EXPECT_EQ(fails(a),
            "stop b; failed leaf; stop q; stop p; failed mid; "
            "restart mid; restart p; restart leaf; restart a; restart b; restart q");
  EXPECT_EQ(tree.restarts(root), 1u);
  EXPECT_EQ(tree.restarts(mid), 1u) << "what it did before its own restart";
  EXPECT_EQ(tree.generation(mid), 1u);
  EXPECT_EQ(tree.generation(leaf), 2u);
  EXPECT_EQ(tree.restarts(a), 2u);
  EXPECT_EQ(fails(b), "stop a; failed leaf; stop q; restart leaf; restart a; restart b; restart q")
      << "mid has its one restart again: its history began anew";
  EXPECT_EQ(fails(b), "fail b; fail a; failed leaf; fail q; fail p; failed mid; fail x; root root");
  for (const auto id : {root, x, mid, p, leaf, a, b, q}) EXPECT_EQ(tree.state(id), ChildState::kFailed);
  EXPECT_TRUE(tree.children(root).empty());
}

TEST_F(Nested, a_group_that_holds_a_supervisor_restarts_all_below_it) {
  EXPECT_EQ(fails(p), "stop q; stop b; stop a; stop leaf; restart p; restart leaf; restart a; restart b; restart q");
  EXPECT_EQ(tree.generation(leaf), 1u);
  EXPECT_EQ(tree.restarts(leaf), 0u);
  EXPECT_EQ(fails(x), "restart x.0");
}

TEST_F(Nested, a_supervisor_stopped_by_a_sibling_begins_its_history_anew) {
  const auto all = tree.add_supervisor(0, options("all", Strategy::kOneForAll, 9));
  const auto first = worker(all, "first");
  const auto inner = tree.add_supervisor(all, options("inner", Strategy::kOneForOne, 1));
  const auto w = worker(inner, "w");
  EXPECT_EQ(fails(w), "restart w.0");
  EXPECT_EQ(fails(first), "stop w; stop inner; restart first; restart inner; restart w");
  EXPECT_EQ(fails(w), "restart w.0");
  EXPECT_EQ(fails(w), "failed inner; stop first; restart first; restart inner; restart w");
}

TEST_F(Supervision, a_temporary_supervisor_fails_alone_and_a_transient_one_is_restarted) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForAll, 1));
  auto temporary = options("temp", Strategy::kOneForOne, 0), transient = options("trans", Strategy::kOneForOne, 0);
  temporary.restart = Restart::kTemporary;
  transient.restart = Restart::kTransient;
  const auto temp = tree.add_supervisor(root, temporary), trans = tree.add_supervisor(root, transient);
  const auto a = worker(temp, "a"), b = worker(trans, "b");
  worker(temp, "a2");
  EXPECT_EQ(fails(a), "fail a2; fail a; failed temp");
  EXPECT_EQ(tree.children(root), (Ids{trans}));
  EXPECT_EQ(tree.restarts(root), 0u);
  EXPECT_EQ(fails(b), "failed trans; restart trans; restart b");
  const auto again = tree.add_supervisor(root, temporary);
  const auto c = worker(again, "c");
  EXPECT_EQ(fails(b, kPeriod + 1), "failed trans; end c; end temp; restart trans; restart b");
  EXPECT_EQ(tree.state(c), ChildState::kTerminated);
  EXPECT_EQ(tree.state(again), ChildState::kTerminated);
}

TEST_F(Supervision, temporary_children_do_not_come_back_with_their_supervisor) {
  const auto root = tree.add_supervisor(0, options("root"));
  const auto inner = tree.add_supervisor(root, options("inner", Strategy::kOneForOne, 0));
  const auto a = worker(inner, "a"), t = worker(inner, "t", Restart::kTemporary);
  EXPECT_EQ(fails(a), "end t; failed inner; restart inner; restart a");
  EXPECT_EQ(tree.state(t), ChildState::kTerminated);
}

// ---- backoff ----

TEST_F(Supervision, waits_double_up_to_the_cap_and_begin_with_the_second) {
  auto made = options("root", Strategy::kOneForOne, 100);
  made.backoff_ns = 3;
  made.max_backoff_ns = 40;
  const auto root = tree.add_supervisor(0, made);
  const auto a = worker(root, "a"), b = worker(root, "b");
  std::uint64_t now = 1000;
  for (const std::uint64_t wait : {0u, 6u, 12u, 24u, 40u, 40u, 40u}) {
    const auto actions = tree.on_exit(a, 0, true, true, now);
    ASSERT_EQ(actions.at(0).not_before_ns, now + wait);
    now += wait;
  }
  EXPECT_EQ(fails(b, now), "restart b.0") << "each child by itself";
  EXPECT_EQ(fails(a, now + kPeriod), "restart a.0@" + std::to_string(now + kPeriod + 40)) << "exactly one period";
  now += kPeriod + 40;
  EXPECT_EQ(fails(a, now + kPeriod + 1), "restart a.0") << "survived";
  EXPECT_EQ(fails(a, now + kPeriod + 1), "restart a.0@" + std::to_string(now + kPeriod + 7));
}

TEST_F(Supervision, waiting_is_not_surviving) {
  auto made = options("root");
  made.backoff_ns = kPeriod;
  made.max_backoff_ns = 100 * kPeriod;
  const auto a = worker(tree.add_supervisor(0, made), "a");
  std::uint64_t now = 0;
  for (const std::uint64_t periods : {0u, 2u, 4u, 8u, 16u, 32u, 64u, 100u}) {
    const auto actions = tree.on_exit(a, 0, true, true, now);
    ASSERT_EQ(actions.at(0).not_before_ns, now + periods * kPeriod);
    now += periods * kPeriod + 1;
  }
}

TEST_F(Supervision, no_wait_overflows) {
  auto made = options("root", Strategy::kOneForOne, 1000);
  made.backoff_ns = 1;
  made.max_backoff_ns = kEnd;
  const auto a = worker(tree.add_supervisor(0, made), "a");
  std::uint64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    const auto actions = tree.on_exit(a, 0, true, true, 5);
    ASSERT_GE(actions.at(0).not_before_ns, last);
    last = actions.at(0).not_before_ns;
  }
  EXPECT_EQ(last, kEnd);
  made.backoff_ns = 0;
  const auto b = worker(tree.add_supervisor(0, made), "b");
  for (int i = 0; i < 100; ++i) ASSERT_EQ(fails(b, kEnd), "restart b.0");
}

TEST_F(Supervision, a_group_waits_together_and_only_for_who_failed) {
  auto made = options("root", Strategy::kOneForAll, 100);
  made.backoff_ns = 5;
  const auto root = tree.add_supervisor(0, made);
  const auto a = worker(root, "a"), b = worker(root, "b");
  EXPECT_EQ(fails(a, 0), "stop b; restart a; restart b");
  EXPECT_EQ(fails(a, 1), "stop b; restart a@11; restart b@11");
  EXPECT_EQ(fails(b, 12), "stop a; restart a; restart b") << "its first own failure";
  EXPECT_EQ(fails(a, 13), "stop b; restart a@33; restart b@33");
}

TEST_F(Supervision, a_restarted_supervisor_waits_and_forgets_the_waits_of_its_children) {
  auto outer = options("root", Strategy::kOneForOne, 100), inner = options("inner", Strategy::kOneForOne, 2);
  outer.backoff_ns = 10;
  inner.backoff_ns = 1;
  const auto root = tree.add_supervisor(0, outer);
  const auto a = worker(tree.add_supervisor(root, inner), "a");
  EXPECT_EQ(fails(a, 0), "restart a.0");
  EXPECT_EQ(fails(a, 0), "restart a.0@2");
  EXPECT_EQ(fails(a, 2), "failed inner; restart inner; restart a");
  EXPECT_EQ(fails(a, 3), "restart a.0");
  EXPECT_EQ(fails(a, 3), "restart a.0@5");
  EXPECT_EQ(fails(a, 5), "failed inner; restart inner@25; restart a@25");
}

// ---- hung workers ----

TEST_F(Nested, a_hung_worker_stays_behind_and_its_supervisor_is_restarted) {
  const auto c = worker(mid, "c", Restart::kTransient, 2);
  EXPECT_EQ(hangs(c, 0, 1),
            "fail c; stop q; stop b; stop a; stop leaf; stop p; failed mid; "
            "restart mid; restart p; restart leaf; restart a; restart b; restart q");
  EXPECT_EQ(tree.state(c), ChildState::kFailed);
  EXPECT_EQ(tree.children(mid), (Ids{p, leaf, q}));
  EXPECT_EQ(tree.restarts(mid), 0u);
  EXPECT_EQ(tree.restarts(root), 1u);
  EXPECT_EQ(hangs(x), "fail x; fail q; fail b; fail a; fail leaf; fail p; fail mid; root root");
}

TEST_F(Nested, hung_workers_leave_one_by_one_until_none_is_left) {
  EXPECT_EQ(hangs(a), "fail a; stop b; failed leaf; stop q; restart leaf; restart b; restart q");
  EXPECT_EQ(hangs(b),
            "fail b; failed leaf; stop q; stop p; failed mid; restart mid; restart p; restart leaf; restart q");
  EXPECT_TRUE(tree.children(leaf).empty());
  EXPECT_EQ(fails(worker(leaf, "new")), "failed leaf; stop q; restart leaf; restart new; restart q");
}

TEST_F(Supervision, a_hung_temporary_worker_needs_no_repair) {
  const auto root = tree.add_supervisor(0, options("root", Strategy::kOneForAll, 0));
  const auto t = worker(root, "t", Restart::kTemporary, 2);
  worker(root, "a");
  EXPECT_EQ(hangs(t), "fail t");
  EXPECT_EQ(tree.state(root), ChildState::kRunning);
  EXPECT_EQ(tree.restarts(root), 0u);
}

// ---- taking out, refusing ----

TEST_F(Nested, removing_stops_from_the_last_to_the_first) {
  EXPECT_EQ(text_of(tree, tree.remove(mid)), "end q; end b; end a; end leaf; end p; end mid");
  EXPECT_EQ(tree.children(root), (Ids{x}));
  EXPECT_EQ(tree.state(leaf), ChildState::kTerminated);
  EXPECT_EQ(tree.parent(leaf), mid);
  EXPECT_EQ(fails(x), "restart x.0");
  EXPECT_EQ(fails(x), "fail x; root root");
  EXPECT_EQ(text_of(tree, tree.remove(x)), "");
  EXPECT_EQ(tree.state(x), ChildState::kTerminated);
}

TEST_F(Nested, what_ended_refuses_and_what_never_was_is_invalid) {
  tree.remove(leaf);
  hangs(x);  // takes the rest down
  for (const auto id : {root, mid, leaf}) {
    EXPECT_EQ(error_of([&] { worker(id, "w"); }), "SupervisorTerminatedError");
    EXPECT_EQ(error_of([&] { tree.add_supervisor(id, options("s")); }), "SupervisorTerminatedError");
  }
  for (const auto id : {x, p, a}) EXPECT_EQ(error_of([&] { fails(id); }), "SupervisorTerminatedError");
  EXPECT_EQ(error_of([&] { tree.remove(a); }), "SupervisorTerminatedError");
  const auto other = tree.add_supervisor(0, options("other"));
  const auto w = worker(other, "w", Restart::kPermanent, 2);
  for (const std::uint32_t none : {0u, w + 1, kAllInstances}) {
    EXPECT_EQ(error_of([&] { worker(none, "w"); }), "InvalidArgumentError");
    EXPECT_EQ(error_of([&] { fails(none); }), "InvalidArgumentError");
    EXPECT_EQ(error_of([&] { tree.state(none); }), "InvalidArgumentError");
    EXPECT_EQ(error_of([&] { tree.remove(none); }), "InvalidArgumentError");
  }
  EXPECT_EQ(error_of([&] { worker(w, "below a worker"); }), "InvalidArgumentError");
  EXPECT_EQ(error_of([&] { worker(other, "none", Restart::kPermanent, 0); }), "InvalidArgumentError");
  EXPECT_EQ(error_of([&] { fails(w, 0, 2); }), "InvalidArgumentError");
  EXPECT_EQ(error_of([&] { fails(other); }), "InvalidArgumentError");
  EXPECT_EQ(error_of([&] { tree.generation(w, 2); }), "InvalidArgumentError");
  EXPECT_EQ(tree.children(other), (Ids{w})) << "refused calls left something behind";
}

}  // namespace
}  // namespace rk
