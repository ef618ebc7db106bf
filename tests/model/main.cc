// Runs the models: `relacy_model [--quick] [--only TEXT] [--random N] [--seed S] [--bound B]`.
//
// Each model is searched exhaustively for all executions with up to B preemptions (3, or 2 in a quick run; one less for
// a heavy model) and then N times at random, from execution S on. The exit status is 0 when no model failed; the
// history of a failed execution is printed.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "model.h"

namespace rk::model {
namespace {

struct Options {
  const char* only = "";
  rl::iteration_t random = 300'000;
  rl::iteration_t seed = 1;
  unsigned bound = 3;
};

struct Outcome {
  rl::iteration_t executions = 0;
  bool failed = false;
};

Outcome search(const Model& model, rl::scheduler_type_e how, const Options& options) {
  std::ostream quiet(nullptr);
  rl::test_params params;
  params.output_stream = params.progress_stream = &quiet;
  params.search_type = how;
  params.context_bound = options.bound - (model.weight == Weight::kHeavy ? 1 : 0);
  params.iteration_count = options.seed + options.random - 1;
  const bool random = how == rl::sched_random;
  if (random) params.initial_state = std::to_string(options.seed).c_str();

  const rl::test_result_e result = model.search(params);
  const Outcome outcome{params.stop_iteration - (random ? options.seed : 1) + 1, result != rl::test_result_success};
  if (!outcome.failed) return outcome;

  std::printf("FAILED  %s: %s, %s search, execution %llu\n", model.name, rl::test_result_str(result),
              random ? "random" : "exhaustive", static_cast<unsigned long long>(params.stop_iteration));
  std::fflush(stdout);
  params.initial_state = params.final_state;
  params.collect_history = true;
  params.output_stream = &std::cout;
  model.search(params);
  std::cout << std::endl;
  return outcome;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const auto is = [&](const char* name) { return std::strcmp(argv[i], name) == 0; };
    if (is("--quick")) {
      options.bound = 2;
      options.random = 20'000;
    } else if (i + 1 == argc) {
      return false;
    } else if (is("--only")) {
      options.only = argv[++i];
    } else if (is("--random")) {
      options.random = std::strtoull(argv[++i], nullptr, 10);
    } else if (is("--seed")) {
      options.seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (is("--bound")) {
      options.bound = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
    } else {
      return false;
    }
  }
  return options.seed != 0 && options.random != 0 && options.bound != 0;
}

int run(const Options& options) {
  unsigned long long searched = 0, executions = 0, failures = 0;
  for (const Model& model : models()) {
    if (std::strstr(model.name, options.only) == nullptr) continue;
    const auto start = std::chrono::steady_clock::now();
    const Outcome bound = search(model, rl::sched_bound, options);
    const Outcome random = bound.failed ? Outcome{} : search(model, rl::sched_random, options);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    ++searched;
    executions += bound.executions + random.executions;
    failures += bound.failed || random.failed;
    std::printf("%-6s  %-52s %9llu exhaustive %9llu random %6.1f s\n", bound.failed || random.failed ? "FAILED" : "ok",
                model.name, static_cast<unsigned long long>(bound.executions),
                static_cast<unsigned long long>(random.executions), took.count());
    std::fflush(stdout);
  }
  std::printf("relacy: %llu models, %llu executions, %llu failures\n", searched, executions, failures);
  return failures == 0 && searched != 0 ? 0 : 1;
}

}  // namespace
}  // namespace rk::model

int main(int argc, char** argv) {
  rk::model::Options options;
  if (!rk::model::parse(argc, argv, options)) {
    std::fprintf(stderr, "usage: %s [--quick] [--only TEXT] [--random N] [--seed S] [--bound B]\n", argv[0]);
    return 2;
  }
  return rk::model::run(options);
}
