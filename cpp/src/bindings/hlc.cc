// HlcTimestamp, HlcClock and its shards.
#include <pybind11/operators.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdio>
#include <ctime>
#include <memory>
#include <string>

#include "bindings.h"
#include "errors.h"
#include "ringkernel/runtime/clocks.h"
#include "timestamp.h"

namespace rk::py {
namespace {

namespace py = pybind11;

[[noreturn]] void throw_typed(const char* name, const std::string& text) {
  raise(name, "%s", text.c_str());
  throw py::error_already_set();
}

std::string seconds(std::uint64_t ntp64) { return std::to_string(static_cast<double>(ntp64) / 4294967296.0); }

// Owns the clock that it reads. Shards keep it alive.
struct ClockBox : Initialised {
  ClockBox(std::uint32_t node_id, std::uint64_t max_drift) : hlc(source, node_id, max_drift) {}
  HostClock source;
  Hlc hlc;
};

struct ShardBox : Initialised {
  ShardBox(std::shared_ptr<ClockBox> owner, HlcHostShard made) : clock(std::move(owner)), shard(std::move(made)) {}
  std::shared_ptr<ClockBox> clock;
  HlcHostShard shard;
};

template <class Box>
Box& checked(Box& box) {
  if (!box.check_initialised()) throw py::error_already_set();
  return box;
}

template <class Clock>
void merge(Clock& clock, Hlc& parent, const HlcTimestamp& remote) {
  if (clock.update(remote.time) == HlcUpdate::kMerged) return;
  const std::uint64_t now = parent.physical();
  throw_typed("ClockSkewError", "a stamp of node " + std::to_string(remote.node_id) + " is " +
                                    seconds(remote.time > now ? remote.time - now : 0) +
                                    " s ahead of this clock, allowed are " + seconds(parent.max_drift()) +
                                    " s; the clock is unchanged. Check the sender's time, or raise max_drift");
}

std::uint64_t ntp64_from_seconds(double value, const char* what) {
  if (!(value >= 0.0) || value > 4.0e9) {
    throw_typed("InvalidArgumentError",
                std::string(what) + ": found " + std::to_string(value) + ", need seconds from 0 to 4e9");
  }
  return static_cast<std::uint64_t>(value * 4294967296.0);
}

bool ntp64_seconds_overflow(std::uint64_t ns) { return ns / 1'000'000'000 >= (kHlcMaxTime >> 32); }

std::shared_ptr<ClockBox> make_clock(std::int64_t node_id, double max_drift) {
  if (node_id < 0 || node_id > 0xFFFFFFFFll) {
    throw_typed("InvalidArgumentError", "node_id: found " + std::to_string(node_id) + ", need 0 to 2**32 - 1");
  }
  return std::make_shared<ClockBox>(static_cast<std::uint32_t>(node_id), ntp64_from_seconds(max_drift, "max_drift"));
}

std::uint64_t physical_part(const HlcTimestamp& t) { return t.time & ~kHlcLogicalMask; }

// TIME/COUNTER/NODE.SHARD. Nine digits identify a multiple of 16 units (3.7 ns), so the text is exact.
std::string to_iso(const HlcTimestamp& t) {
  const std::uint64_t ns = ns_from_ntp64(physical_part(t));
  const auto whole = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm utc{};
  gmtime_r(&whole, &utc);
  char text[96];
  std::snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%09luZ/%lu/%u.%u", utc.tm_year + 1900,
                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec,
                static_cast<unsigned long>(ns % 1'000'000'000), static_cast<unsigned long>(t.time & kHlcLogicalMask),
                t.node_id, t.shard_id);
  return text;
}

HlcTimestamp from_iso(const std::string& text) {
  std::tm utc{};
  unsigned long fraction = 0, counter = 0;
  unsigned node = 0, shard = 0;
  int end = 0;
  const int read =
      std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%2d.%9luZ/%lu/%u.%u%n", &utc.tm_year, &utc.tm_mon, &utc.tm_mday,
                  &utc.tm_hour, &utc.tm_min, &utc.tm_sec, &fraction, &counter, &node, &shard, &end);
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  const std::time_t whole = read == 10 ? timegm(&utc) : -1;
  if (whole >= 0 && whole <= 0xFFFFFFFFll && counter <= kHlcLogicalMask) {
    const std::uint64_t ntp = ntp64_from_ns(static_cast<std::uint64_t>(whole) * 1'000'000'000 + fraction);
    const HlcTimestamp stamp{((ntp + kHlcLogicalMask) & ~kHlcLogicalMask) | counter, node, shard};
    if (to_iso(stamp) == text) return stamp;  // one text for each stamp: nothing else is accepted
  }
  throw_typed("InvalidArgumentError",
              "found '" + text + "', need a stamp such as 2026-01-31T12:00:00.000000000Z/0/7.0");
}

void bind_timestamp(py::module_& module) {
  py::class_<HlcTimestamp>(module, "HlcTimestamp",
                           "A hybrid logical clock stamp: NTP64 time (32.32 s since 1970), node and shard. Immutable, "
                           "totally ordered, hashable, picklable.")
      .def(py::init([](std::uint64_t time, std::uint32_t node_id, std::uint32_t shard_id) {
             return HlcTimestamp{time, node_id, shard_id};
           }),
           py::arg("time"), py::arg("node_id") = 0, py::arg("shard_id") = 0)
      .def_readonly("time", &HlcTimestamp::time, "The whole NTP64 word.")
      .def_readonly("node_id", &HlcTimestamp::node_id)
      .def_readonly("shard_id", &HlcTimestamp::shard_id, "0: the clock itself; else one of its shards.")
      .def_property_readonly(
          "physical_ns", [](const HlcTimestamp& t) { return ns_from_ntp64(physical_part(t)); },
          "Nanoseconds since 1970, without the counter.")
      .def_property_readonly(
          "logical", [](const HlcTimestamp& t) { return t.time & kHlcLogicalMask; }, "The counter: the low 4 bits.")
      .def(
          "__eq__", [](const HlcTimestamp& a, const HlcTimestamp& b) { return a == b; }, py::is_operator())
      .def(
          "__lt__", [](const HlcTimestamp& a, const HlcTimestamp& b) { return a < b; }, py::is_operator())
      .def(
          "__le__", [](const HlcTimestamp& a, const HlcTimestamp& b) { return !(b < a); }, py::is_operator())
      .def(
          "__gt__", [](const HlcTimestamp& a, const HlcTimestamp& b) { return b < a; }, py::is_operator())
      .def(
          "__ge__", [](const HlcTimestamp& a, const HlcTimestamp& b) { return !(a < b); }, py::is_operator())
      .def("isoformat", &to_iso, "ISO 8601 time, counter, node and shard: 2026-01-31T12:00:00.000000000Z/0/7.0")
      .def_static("fromisoformat", &from_iso, py::arg("text"),
                  "The stamp of a text; exact. Raises InvalidArgumentError.")
      .def("__str__", &to_iso)
      .def("__repr__", [](const HlcTimestamp& t) { return "<HlcTimestamp " + to_iso(t) + ">"; })
      .def("__hash__", [](const HlcTimestamp& t) { return py::hash(py::make_tuple(t.time, t.node_id, t.shard_id)); })
      .def(py::pickle([](const HlcTimestamp& t) { return py::make_tuple(t.time, t.node_id, t.shard_id); },
                      [](const py::tuple& t) {
                        return HlcTimestamp{t[0].cast<std::uint64_t>(), t[1].cast<std::uint32_t>(),
                                            t[2].cast<std::uint32_t>()};
                      }));
}

}  // namespace

PyObject* make_timestamp(const HlcTimestamp& stamp) { return pybind11::cast(stamp).release().ptr(); }

void bind_hlc(py::module_& module) {
  bind_timestamp(module);
  py::class_<ShardBox>(module, "HlcShard", "A word of one thread's own: ten times the rate. Made by HlcClock.shard().")
      .def("now", [](ShardBox& s) { return checked(s).shard.now(); })
      .def("tick", [](ShardBox& s) { return checked(s).shard.tick(); })
      .def(
          "update", [](ShardBox& s, const HlcTimestamp& t) { merge(checked(s).shard, s.clock->hlc, t); },
          py::arg("remote"))
      .def_property_readonly("shard_id", [](const ShardBox& s) { return checked(s).shard.shard_id(); });
  py::class_<ClockBox, std::shared_ptr<ClockBox>>(
      module, "HlcClock",
      "Hybrid logical clock (Kulkarni et al. 2014). node_id: 0 to 2**32 - 1. max_drift: seconds a remote stamp may be "
      "ahead. Lock-free, for any number of threads.")
      .def(py::init(&make_clock), py::arg("node_id") = 0, py::arg("max_drift") = 0.5)
      .def(
          "now", [](ClockBox& c) { return checked(c).hlc.now(); }, "The time as known now; stamps nothing.")
      .def(
          "tick", [](ClockBox& c) { return checked(c).hlc.tick(); },
          "Stamps a local or send event: larger than all before.")
      .def(
          "update", [](ClockBox& c, const HlcTimestamp& t) { merge(checked(c).hlc, c.hlc, t); }, py::arg("remote"),
          "Merges a received stamp; later ticks are larger. Raises ClockSkewError beyond max_drift.")
      .def("shard", [](const std::shared_ptr<ClockBox>& c) { return ShardBox{c, c->hlc.shard()}; })
      .def(
          "set_manual_time",
          [](ClockBox& c, std::optional<std::uint64_t> ns) {
            if (ns && ntp64_seconds_overflow(*ns)) {
              throw_typed("InvalidArgumentError", "ns: found " + std::to_string(*ns) + ", stamps end in the year 2106");
            }
            checked(c).source.set_manual(ns ? std::max<std::uint64_t>(ntp64_from_ns(*ns), 1) : 0);
          },
          py::arg("ns"), "For tests: freeze the wall clock at `ns` since 1970; None goes back to real time.")
      .def_property_readonly("node_id", [](const ClockBox& c) { return checked(c).hlc.node_id(); })
      .def_property_readonly("max_drift", [](const ClockBox& c) {
        return static_cast<double>(checked(c).hlc.max_drift()) / 4294967296.0;
      });
}

}  // namespace rk::py
