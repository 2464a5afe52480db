#include "planner/placement/solver.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/parallel.h"
#include "planner/placement/baselines.h"
#include "planner/placement/eplb.h"
#include "planner/placement/exact.h"
#include "planner/placement/flexmoe.h"
#include "planner/placement/laer.h"
#include "planner/placement/moeplan_solver.h"
#include "planner/placement/pro_prophet.h"
#include "planner/placement/shadowing.h"
#include "planner/placement/smartmoe.h"

namespace moeplan::planner {

namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<PlacementSolver> (*make)();
  bool is_system = false;
};

constexpr std::array kSolvers = {
    Entry{"contiguous", make_contiguous},
    Entry{"round_robin", make_round_robin},
    Entry{"lpt", make_lpt},
    Entry{"eplb", [] { return make_eplb(false); }},
    Entry{"eplb_global", [] { return make_eplb(true); }},
    Entry{"moeplan", [] { return make_moeplan_solver(); }},
    Entry{"exact", make_exact},
    Entry{"smartmoe", make_smartmoe, true},
    Entry{"fastermoe", [] { return make_fastermoe(ShadowPolicy::kPaper); }, true},
    Entry{"fastermoe_prototype", [] { return make_fastermoe(ShadowPolicy::kPrototype); }, true},
    Entry{"fastermoe_fastmoe", [] { return make_fastermoe(ShadowPolicy::kFastMoe); }, true},
    Entry{"fastermoe_smartmoe", [] { return make_fastermoe(ShadowPolicy::kSmartMoe); }, true},
    Entry{"flexmoe", make_flexmoe, true},
    Entry{"laer", make_laer, true},
    Entry{"pro_prophet", make_pro_prophet, true},
};

}  // namespace

std::vector<std::string> solver_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kSolvers) names.emplace_back(entry.name);
  return names;
}

bool is_system(std::string_view name) {
  return std::any_of(kSolvers.begin(), kSolvers.end(),
                     [&](const Entry& entry) { return entry.name == name && entry.is_system; });
}

std::unique_ptr<PlacementSolver> make_solver(std::string_view name) {
  for (const Entry& entry : kSolvers) {
    if (entry.name == name) return entry.make();
  }
  const std::string near = base::nearest_word(std::string(name), solver_names());
  throw base::InputError(fmt::format("there is no solver \"{}\"", name),
                         near.empty() ? fmt::format("solvers: {}", fmt::join(solver_names(), ", "))
                                      : fmt::format("did you mean \"{}\"?", near));
}

sim::Placement solve_all_layers(const PlacementSolver& solver, const PlacementProblem& problem, int threads) {
  MOEPLAN_CHECK(problem.mean.size() ==
                    static_cast<std::size_t>(problem.layers) * static_cast<std::size_t>(problem.experts),
                "the problem's means are filled in");
  sim::Placement placement{std::string(solver.name()),
                           std::vector<Slots>(static_cast<std::size_t>(problem.layers))};
  base::parallel_for(placement.slots.size(), threads, [&](std::size_t l) {
    placement.slots[l] = solver.solve(problem.layer(static_cast<int>(l)));
  });
  return placement;
}

}  // namespace moeplan::planner
