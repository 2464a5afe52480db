// The optimum of small problems by another program: CBC, where it is installed (Debian: coinor-cbc).
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "planner/placement/exact.h"
#include "planner/placement/solver.h"
#include "tests/planner/placement/problems.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {
namespace {

/// The problem with one iteration as a mixed-integer program in CPLEX's LP format.
///
/// y_e_c = 1: expert e has c replicas; x_e_c_g = 1: one of them is on GPU g
/// minimise M;  sum_c y_e_c = 1;  sum_g x_e_c_g = c y_e_c;  sum_{e,c} x_e_c_g = slots of g;
/// sum_{e,c} load_e / c x_e_c_g <= M
std::string write_program(const PlacementProblem& problem) {
  const int gpus = problem.shape.gpus;
  std::string choose;
  std::string spread;
  std::string binaries;
  std::vector<std::string> room(static_cast<std::size_t>(gpus));
  std::vector<std::string> load(static_cast<std::size_t>(gpus));
  for (int e = 0; e < problem.experts; ++e) {
    for (int c = 1; c <= gpus; ++c) {
      choose += fmt::format("{} y_{}_{}", c > 1 ? " +" : "", e, c);
      binaries += fmt::format(" y_{}_{}\n", e, c);
      for (int g = 0; g < gpus; ++g) {
        const std::string x = fmt::format("x_{}_{}_{}", e, c, g);
        spread += fmt::format("{} {}", g > 0 ? " +" : "", x);
        binaries += fmt::format(" {}\n", x);
        room[static_cast<std::size_t>(g)] += fmt::format(" + {}", x);
        load[static_cast<std::size_t>(g)] +=
            fmt::format(" + {:.12g} {}\n", problem.load[static_cast<std::size_t>(e)] / c, x);
      }
      spread += fmt::format(" - {} y_{}_{} = 0\n", c, e, c);
    }
    choose += " = 1\n";
  }
  std::string text = "Minimize\n obj: M\nSubject To\n" + choose + spread;
  for (int g = 0; g < gpus; ++g) {
    text += fmt::format("{} = {}\n{} - M <= 0\n", room[static_cast<std::size_t>(g)],
                        problem.shape.slots_per_gpu, load[static_cast<std::size_t>(g)]);
  }
  return text + "Binaries\n" + binaries + "End\n";
}

/// CBC's optimum, or -1 where it did not prove one in its time.
double solve_with_cbc(const PlacementProblem& problem, const std::filesystem::path& folder) {
  const std::string program = (folder / "p.lp").string();
  const std::string answer = (folder / "p.sol").string();
  std::ofstream(program) << write_program(problem);
  const std::string command = fmt::format("cbc {} sec 20 ratio 0.0001 solve solution {} >{} 2>&1", program,
                                          answer, (folder / "log").string());
  if (std::system(command.c_str()) != 0) return -1;  // NOLINT(cert-env33-c): a fixed command of a test
  std::ifstream file(answer);
  std::string line;
  std::getline(file, line);
  const std::size_t value = line.find("objective value");
  if (line.rfind("Optimal", 0) != 0 || value == std::string::npos) return -1;
  return std::stod(line.substr(value + 15));
}

TEST(Cbc, FindsNothingBetterThanTheExactSearchNorOursByMoreThanOnePercent) {
  if (std::system("command -v cbc >/dev/null 2>&1") != 0)  // NOLINT(cert-env33-c)
    GTEST_SKIP() << "cbc is not installed";
  const moeplan::test::TemporaryFolder folder;
  base::RandomStream random(moeplan::test::test_seed(), "cbc");
  int proven = 0;
  for (int trial = 0; trial < 8; ++trial) {
    const int gpus = 2 + trial % 2;
    const int experts = gpus * (2 + static_cast<int>(random.below(3)));
    const PlacementProblem problem =
        test::random_layer(random, experts, 1, {gpus, gpus, experts / gpus + 1, 1});
    const double best = solve_with_cbc(problem, folder.path());
    if (best < 0) continue;
    ++proven;
    const Slots ours = make_solver("moeplan")->solve(problem.layer(0));
    const ExactResult exact = solve_exactly(problem.layer(0), ours);
    EXPECT_NEAR(exact.objective, best, 3e-4 * best) << "trial " << trial;
    EXPECT_LE(test::plain_objective(problem, ours), 1.01 * best) << "trial " << trial;
  }
  EXPECT_GE(proven, 4);
}

}  // namespace
}  // namespace moeplan::planner
