// Names, and watchers: order, exactly once, and the end of a watch, with threads that get in each other's way.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "ringkernel/runtime/registry.h"

namespace rk {
namespace {

using Found = std::vector<std::pair<std::string, std::uint64_t>>;
using Texts = std::vector<std::string>;

std::string text_of(const RegistryEvent& event) {
  return (event.kind == RegistryEvent::Kind::kRegistered ? "+" : "-") + event.name + std::to_string(event.address);
}

Registry::Callback into(Texts& seen) {
  return [&seen](const RegistryEvent& event) { seen.push_back(text_of(event)); };
}

// A callback of another thread stays inside until it is told to go on.
struct Gate {
  void pass() {
    entered.set_value();
    opened.get_future().wait();
  }
  void wait_until_entered() { entered.get_future().wait(); }
  void open() { opened.set_value(); }
  std::promise<void> entered, opened;
};

TEST(Registry, a_name_is_found_until_it_is_removed) {
  Registry registry;
  EXPECT_EQ(registry.find("a"), std::nullopt);
  EXPECT_TRUE(registry.add("a", 1));
  EXPECT_FALSE(registry.add("a", 1));
  EXPECT_EQ(registry.find("a"), 1u);
  EXPECT_TRUE(registry.remove("a", 1));
  EXPECT_FALSE(registry.remove("a", 1));
  EXPECT_EQ(registry.find("a"), std::nullopt);
}

TEST(Registry, a_late_removal_does_not_take_the_name_from_its_next_owner) {
  Registry registry;
  Texts seen;
  registry.watch("**", into(seen));
  registry.add("a", 1);
  EXPECT_TRUE(registry.add("a", 2)) << "taken over";
  EXPECT_FALSE(registry.remove("a", 1));
  EXPECT_EQ(registry.find("a"), 2u);
  EXPECT_EQ(seen, Texts({"+a1", "-a1", "+a2"}));
}

TEST(Registry, lookup_is_sorted_by_name) {
  Registry registry;
  for (const char* name : {"b/y", "é", "a/z", "b/x", "b", "b/x/q", "ba", ""}) registry.add(name, 7);
  EXPECT_EQ(registry.lookup("b/*"), Found({{"b/x", 7}, {"b/y", 7}}));
  EXPECT_EQ(registry.lookup("b**"), Found({{"b", 7}, {"b/x", 7}, {"b/x/q", 7}, {"b/y", 7}, {"ba", 7}}));
  EXPECT_EQ(registry.lookup("?"), Found({{"b", 7}, {"é", 7}}));
  EXPECT_EQ(registry.lookup("b"), Found({{"b", 7}}));
  EXPECT_EQ(registry.lookup("c*"), Found());
  EXPECT_EQ(registry.lookup("**").size(), 8u) << "a name may be empty";
}

TEST(Registry, malformed_patterns_and_missing_callbacks_are_refused) {
  Registry registry;
  for (const std::string& pattern : {std::string(), std::string("\xFF"), std::string(2000, '*')}) {
    EXPECT_THROW(registry.lookup(pattern), Error);
    EXPECT_THROW(registry.watch(pattern, [](const RegistryEvent&) {}), Error);
  }
  EXPECT_THROW(registry.watch("*", nullptr), Error);
}

TEST(Registry, a_watcher_hears_of_matching_names_from_then_on) {
  Registry registry;
  Texts seen, all;
  registry.add("a/before", 1);
  const std::uint64_t id = registry.watch("a/*", into(seen));
  registry.watch("**", into(all));
  registry.add("a/x", 2);
  registry.add("b/x", 3);
  registry.remove("a/before", 1);
  registry.remove("a/x", 99);  // not this one
  registry.remove("a/x", 2);
  EXPECT_EQ(seen, Texts({"+a/x2", "-a/before1", "-a/x2"}));
  EXPECT_EQ(all.size(), 4u);
  registry.unwatch(id);
  registry.unwatch(id);  // unknown by now
  registry.unwatch(12345);
  registry.add("a/y", 4);
  EXPECT_EQ(seen.size(), 3u);
  EXPECT_EQ(all.size(), 5u);
}

TEST(Registry, a_callback_that_throws_breaks_nobody) {
  Registry registry;
  Texts before, after;
  int thrown = 0;
  registry.watch("*", into(before));
  registry.watch("*", [&](const RegistryEvent&) { ++thrown, throw std::runtime_error("no"); });
  registry.watch("*", [&](const RegistryEvent&) { ++thrown, throw 1; });
  registry.watch("*", into(after));
  EXPECT_NO_THROW(registry.add("a", 1));
  EXPECT_NO_THROW(registry.remove("a", 1));
  EXPECT_EQ(thrown, 4) << "and it is called again";
  EXPECT_EQ(before, Texts({"+a1", "-a1"}));
  EXPECT_EQ(after, before);
}

TEST(Registry, a_callback_may_use_the_registry) {
  Registry registry;
  Texts seen, other;
  registry.watch("*", [&](const RegistryEvent& event) {
    seen.push_back("[" + text_of(event));
    if (event.name == "a" && event.kind == RegistryEvent::Kind::kRegistered) {
      EXPECT_EQ(registry.find("a"), 1u);
      EXPECT_EQ(registry.lookup("*").size(), 1u);
      registry.add("b", 2);
      registry.remove("a", 1);
      registry.watch("*", into(other));
    }
    seen.push_back(text_of(event) + "]");
  });
  registry.add("a", 1);
  EXPECT_EQ(seen, Texts({"[+a1", "+a1]", "[+b2", "+b2]", "[-a1", "-a1]"})) << "in order, never nested";
  EXPECT_EQ(other, Texts()) << "began to watch after all that";
  registry.add("c", 3);
  EXPECT_EQ(other, Texts({"+c3"}));
}

TEST(Registry, a_callback_may_end_its_own_watch_and_others) {
  Registry registry;
  Texts own, victim;
  std::uint64_t id = 0, victim_id = 0;
  id = registry.watch("*", [&](const RegistryEvent& event) {
    own.push_back(text_of(event));
    registry.add("more", 9);  // due for this watcher, and dropped by what follows
    registry.unwatch(victim_id);
    registry.unwatch(id);
    registry.unwatch(id);
  });
  victim_id = registry.watch("a", into(victim));
  registry.add("a", 1);
  registry.add("b", 2);
  EXPECT_EQ(own, Texts({"+a1"}));
  EXPECT_EQ(victim, Texts()) << "ended before its turn came";
}

// The captures of a callback, as a Python object would be: its destructor calls into the registry.
struct CallsWhenItGoes {
  Registry* registry;
  bool* gone;
  ~CallsWhenItGoes() {
    registry->add("goes", 1);
    *gone = true;
  }
};

TEST(Registry, a_callback_is_gone_after_the_watch_and_may_use_the_registry_as_it_goes) {
  Registry registry;
  for (const bool from_within : {false, true}) {
    bool gone = false;
    std::shared_ptr<CallsWhenItGoes> captured(new CallsWhenItGoes{&registry, &gone});
    std::uint64_t id = 0;
    id = registry.watch("x", [&registry, &id, from_within, captured](const RegistryEvent&) {
      if (from_within) registry.unwatch(id);
    });
    captured.reset();
    registry.add("x", from_within ? 1 : 2);
    EXPECT_EQ(gone, from_within) << "not while it runs, but before add() returns";
    registry.unwatch(id);
    EXPECT_TRUE(gone);
    registry.remove("goes", 1);
  }
}

TEST(Registry, a_thread_leaves_its_event_to_the_one_that_delivers) {
  Registry registry;
  Gate gate;
  Texts seen;
  std::vector<std::thread::id> threads;
  registry.watch("*", [&](const RegistryEvent& event) {
    if (event.name == "first") gate.pass();
    seen.push_back(text_of(event));
    threads.push_back(std::this_thread::get_id());
  });
  std::thread slow([&] { registry.add("first", 1); });
  gate.wait_until_entered();
  registry.add("second", 2);  // returns although the callback is busy
  registry.remove("second", 2);
  EXPECT_EQ(registry.find("first"), 1u);
  const std::thread::id slow_id = slow.get_id();
  gate.open();
  slow.join();
  EXPECT_EQ(seen, Texts({"+first1", "+second2", "-second2"}));
  EXPECT_EQ(threads, std::vector<std::thread::id>(3, slow_id));
}

TEST(Registry, unwatch_waits_for_the_callback_that_runs_and_drops_what_is_due) {
  Registry registry;
  Gate gate;
  std::atomic<bool> left{false};
  std::atomic<int> calls{0};
  const std::uint64_t id = registry.watch("*", [&](const RegistryEvent&) {
    if (++calls == 1) gate.pass();
    left = true;
  });
  std::thread slow([&] { registry.add("a", 1); });
  gate.wait_until_entered();
  registry.add("b", 2);
  std::vector<std::thread> enders;  // two, and neither may return early
  std::atomic<int> early{0};
  for (int i = 0; i < 2; ++i) {
    enders.emplace_back([&] {
      registry.unwatch(id);
      early += left ? 0 : 1;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that they wait; the test holds without
  gate.open();
  for (auto& ender : enders) ender.join();
  slow.join();
  EXPECT_EQ(early, 0);
  EXPECT_EQ(calls, 1) << "b was due when the watch ended";
}

TEST(Registry, at_the_end_all_callbacks_go_and_hear_before_it_what_happened_before) {
  Registry registry;
  bool gone = false;
  std::shared_ptr<CallsWhenItGoes> captured(new CallsWhenItGoes{&registry, &gone});
  const std::uint64_t idle = registry.watch("nothing", [captured](const RegistryEvent&) {});
  captured.reset();
  Gate gate;
  Texts seen;
  registry.watch("*", [&](const RegistryEvent& event) {
    if (event.name == "first") gate.pass();
    seen.push_back(text_of(event));
  });
  std::thread slow([&] { registry.add("first", 1); });
  gate.wait_until_entered();
  registry.add("second", 2);
  registry.unwatch_all();  // waits for nobody
  EXPECT_TRUE(gone);
  registry.add("third", 3);
  gate.open();
  slow.join();
  EXPECT_EQ(seen, Texts({"+first1", "+second2"}));
  registry.unwatch(idle);
  registry.unwatch(registry.watch("*", into(seen)));
  registry.add("fourth", 4);
  EXPECT_EQ(seen.size(), 2u);
}

TEST(Registry, a_callback_whose_end_was_waited_for_is_gone_although_its_thread_goes_on_elsewhere) {
  Registry registry;
  Gate first, second;
  bool gone = false;
  std::shared_ptr<CallsWhenItGoes> captured(new CallsWhenItGoes{&registry, &gone});
  const std::uint64_t id = registry.watch("x", [&first, captured](const RegistryEvent&) { first.pass(); });
  registry.watch("x", [&second](const RegistryEvent&) { second.pass(); });
  captured.reset();
  std::thread slow([&] { registry.add("x", 1); });
  first.wait_until_entered();
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // so that unwatch() waits; the test holds without
    first.open();
  });
  registry.unwatch(id);
  EXPECT_TRUE(gone);
  opener.join();
  second.wait_until_entered();
  second.open();
  slow.join();
}

// Each callback ends the other's watch while both run: neither can wait for the other.
TEST(Registry, callbacks_that_end_each_other_do_not_wait_forever) {
  for (int round = 0; round < 50; ++round) {
    Registry registry;
    std::atomic<int> inside{0};
    std::uint64_t ids[2];
    for (int i = 0; i < 2; ++i) {
      ids[i] = registry.watch(i == 0 ? "a" : "b", [&, i](const RegistryEvent&) {
        ++inside;
        while (inside < 2) std::this_thread::yield();
        registry.unwatch(ids[1 - i]);
      });
    }
    std::thread a([&] { registry.add("a", 1); });
    std::thread b([&] { registry.add("b", 1); });
    a.join();
    b.join();
    registry.unwatch(ids[0]);
    registry.unwatch(ids[1]);
    registry.remove("a", 1);
    EXPECT_EQ(inside, 2);
  }
}

// On one thread, one callback inside the other: the outer one cannot be waited for either.
TEST(Registry, a_nested_callback_may_end_the_watch_around_it) {
  Registry registry;
  std::uint64_t outer = 0;
  int outer_calls = 0, inner_calls = 0;
  outer = registry.watch("a*", [&](const RegistryEvent&) {
    ++outer_calls;
    registry.add("b", 1);
  });
  registry.watch("b", [&](const RegistryEvent&) {
    ++inner_calls;
    registry.unwatch(outer);
  });
  registry.add("a", 1);
  registry.add("a2", 1);
  EXPECT_EQ(outer_calls, 1);
  EXPECT_EQ(inner_calls, 1);
}

// What a watcher must have seen of one name: in turn registered and unregistered, with the addresses in order.
struct Seen {
  std::vector<std::vector<std::uint64_t>> by_writer;
  std::atomic<int> inside{0};
  int overlaps = 0;
};

Registry::Callback checked(Seen& seen) {
  return [&seen](const RegistryEvent& event) {
    if (seen.inside.fetch_add(1) != 0) ++seen.overlaps;
    const auto writer = static_cast<std::size_t>(event.name.back() - '0');
    seen.by_writer[writer].push_back(event.address * 2 + (event.kind == RegistryEvent::Kind::kRegistered ? 0 : 1));
    seen.inside.fetch_sub(1);
  };
}

TEST(Registry, every_watcher_sees_every_event_once_and_in_order_whatever_threads_do) {
  constexpr std::uint64_t kRounds = 400;
  constexpr int kWriters = 4;
  Registry registry;
  Seen seen[3];
  for (Seen& one : seen) {
    one.by_writer.resize(kWriters);
    registry.watch("w/*", checked(one));
  }
  std::atomic<bool> stop{false};
  std::thread disturber([&] {  // watchers that come and go while events fly
    while (!stop) {
      std::atomic<bool> ended{false};
      std::atomic<int> late{0};
      const std::uint64_t id = registry.watch("**", [&](const RegistryEvent&) { late += ended ? 1 : 0; });
      registry.lookup("w/*");
      registry.unwatch(id);
      ended = true;
      EXPECT_EQ(late, 0);
    }
  });
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&registry, w] {
      const std::string name = "w/" + std::to_string(w);
      for (std::uint64_t i = 0; i < kRounds; ++i) {
        EXPECT_TRUE(registry.add(name, i));
        EXPECT_TRUE(registry.remove(name, i));
      }
    });
  }
  for (auto& writer : writers) writer.join();
  stop = true;
  disturber.join();
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 0; i < kRounds * 2; ++i) expected.push_back(i);
  for (const Seen& one : seen) {
    EXPECT_EQ(one.overlaps, 0);
    for (const auto& events : one.by_writer) EXPECT_EQ(events, expected);
  }
}

// All on one name, with addresses that collide: two watchers must tell the same story, and it must be a possible one.
TEST(Registry, watchers_agree_on_the_order_of_what_threads_fight_over) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Registry registry;
  Texts one, two;
  registry.watch("n", into(one));
  registry.watch("*", into(two));
  std::vector<std::thread> threads;
  std::atomic<std::size_t> changes{0};
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 engine(seed + t);
      for (int i = 0; i < 500; ++i) {
        const std::uint64_t address = engine() % 3;
        changes += (engine() % 2 == 0 ? registry.add("n", address) : registry.remove("n", address)) ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(one, two);
  EXPECT_GE(one.size(), changes);
  std::string present;
  for (const std::string& event : one) {
    ASSERT_EQ(present.empty(), event[0] == '+') << event;
    ASSERT_TRUE(event[0] == '+' || event.substr(1) == present) << event;
    present = event[0] == '+' ? event.substr(1) : "";
  }
  const auto last = registry.find("n");
  EXPECT_EQ(present, last ? "n" + std::to_string(*last) : "");
}

}  // namespace
}  // namespace rk
