#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"
#include "base/node_path.h"

namespace moeplan::sweep {

/// What is done at each point.
enum class Verb { kSimulate, kPlan };
std::string_view name(Verb verb);

/// What a point is made of. Options are those of the verb, and stand in the sweep file itself.
enum class Input { kCluster, kModel, kRun, kLoad, kProfile, kPlan, kOptions };
inline constexpr std::size_t kInputs = 7;
constexpr std::size_t index(Input input) { return static_cast<std::size_t>(input); }
/// "cluster", "model", ...: the first word of an axis.
std::string_view name(Input input);

struct AxisValue {
  base::Node node;
  std::string label;  ///< the value on one line, as tables show it
};

/// One dimension of the grid: a whole input (`steps` empty), or a value inside it.
struct Axis {
  std::string path;  ///< as written, "cluster.node.nics.bandwidth"
  base::Position at;
  Input input = Input::kCluster;
  std::vector<base::NodeStep> steps;  ///< from the top of the input's file
  std::vector<AxisValue> values;
  std::size_t group = 0;  ///< axes of one group step together

  bool is_whole_input() const { return steps.empty(); }
};

/// Points that are left out: those where each of these axes has one of these values.
struct Exclusion {
  struct Match {
    std::size_t axis = 0;
    std::vector<std::size_t> values;  ///< indices
  };
  std::vector<Match> matches;
};

struct NamedInput {
  std::string text;  ///< a path relative to the sweep file, a shipped name, or a load generator
  base::Position at;
};

/// A sweep file as the user wrote it. Format: docs/formats/sweep.md.
struct SweepSpec {
  std::string file;
  std::string name;
  Verb verb = Verb::kSimulate;
  std::array<std::optional<NamedInput>, kInputs> inputs;  ///< [Input], those that no axis names
  base::Node options;                                     ///< a map
  std::vector<Axis> axes;
  std::vector<std::size_t> group_sizes;  ///< [group], values of each of its axes
  std::vector<Exclusion> exclusions;
  std::vector<std::string> figures;  ///< to be reported, in the order of all_figures()
};

/// Throws InputError with every fault: unknown keys, inputs that are missing or stand twice, axes of unequal
/// length in one group, values that stand twice, exclusions that match no value.
SweepSpec read_sweep(const base::Document& document);

}  // namespace moeplan::sweep
