#pragma once

#include <array>
#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/diagnostics.h"
#include "sim/cost/profile.h"
#include "sim/workload/loads.h"
#include "sim/workload/model.h"
#include "sim/workload/plan.h"
#include "sim/workload/run.h"
#include "planner/sweep/grid.h"
#include "planner/sweep/point_options.h"
#include "planner/sweep/sweep_spec.h"
#include "topology/cluster.h"

namespace moeplan::sweep {

/// The inputs of every point. Points share many: each input has as many variants as the axes that change it
/// have combinations, and points with the same variants have the same inputs.
///
/// The files are read once, when this is made. The readers make each variant from the file's tree with the
/// axes' values in it, so that they check it as they check a file. Const and thread-safe.
class InputSet {
 public:
  /// Variant of each input; kNone where a point has no such input.
  using Variants = std::array<std::size_t, kInputs>;
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  /// Reads and checks every variant of every input that a point has, so that a sweep with a bad input is
  /// refused before its first point runs. Throws InputError; a fault of an axis's value has its place in the
  /// sweep file. `spec` and `grid` outlive this.
  InputSet(const SweepSpec& spec, const Grid& grid);

  Variants variants(std::size_t point) const;

  // The input of `point`, made anew. They do not throw for points of the grid, but read_loads for one whose
  // model the load does not fit.
  topology::Cluster cluster(std::size_t point) const;
  sim::Profile profile(std::size_t point) const;
  sim::ModelSpec model(std::size_t point) const;
  sim::RunSpec run(std::size_t point) const;
  sim::PlanSpec plan(std::size_t point) const;
  PointOptions options(std::size_t point) const;
  std::unique_ptr<sim::ExpertLoads> loads(std::size_t point, const sim::ModelSpec& model) const;

  /// Fingerprint of all that the result of a point depends on: the content of its inputs (values, not their
  /// order or comments), its options, the verb, and `program`. 32 hexadecimal digits.
  std::string key(std::size_t point, const std::string& program) const;
  /// The shipped or named files and load generators that the sweep is made of, as found: kind and path.
  std::vector<std::pair<std::string, std::string>> sources() const;

 private:
  struct Source {
    std::string path;         // or the text of a load generator
    base::Document document;  // of a load: empty
  };
  void load_sources();
  void load_source(Input input, const std::string& text, base::Position at, base::DiagnosticSink& sink);
  void count_variants();
  void check_point(std::size_t point, std::set<std::string>& told, base::DiagnosticSink& sink);
  void check_variant(Input input, std::size_t point, std::size_t variant);
  std::size_t variant_of(Input input, const std::vector<std::size_t>& digits) const;
  base::Position place_of(Input input, const std::vector<std::size_t>& values) const;
  const Source& source(Input input, const std::vector<std::size_t>& values,
                       std::size_t cluster_variant) const;
  base::Document document(Input input, std::size_t point) const;
  std::string content(Input input, std::size_t point) const;

  const SweepSpec& spec_;
  const Grid& grid_;
  std::array<std::vector<Source>, kInputs> sources_;       // [Input][value of the whole-input axis, or 0]
  std::map<std::string, Source> cluster_profiles_;         // profile name in a cluster file ->
  std::array<std::vector<std::size_t>, kInputs> groups_;   // [Input] -> groups that change it
  std::array<std::vector<std::string>, kInputs> digests_;  // [Input][variant]; empty: no point has it
  std::vector<std::string> profile_names_;                 // [cluster variant]
  std::set<std::tuple<std::size_t, std::size_t, std::size_t>>
      checked_loads_;  // load, model and options variants
};

}  // namespace moeplan::sweep
