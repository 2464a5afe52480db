#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/document.h"
#include "base/object_reader.h"

namespace moeplan::planner {

/// What a point asks: one step of a plan, or the best plan.
enum class SweepVerb { kSimulate, kPlan };

/// A thing that a sweep varies, with its values: a whole input ("load": file, shipped name or generator), or
/// a value inside an input file ("cluster.node.nics.bandwidth").
struct SweepKey {
  std::string name;               ///< as written
  std::string input;              ///< cluster, model, run, load, plan, profile
  std::vector<std::string> path;  ///< inside the file; empty: the input itself
  std::vector<base::Node> values;
  std::vector<std::string> texts;  ///< of the values, for tables
  base::Place place;
};

/// Keys that change together, value by value; axes are combined, every value with every other's.
struct SweepAxis {
  std::vector<SweepKey> keys;
  std::size_t size() const { return keys.front().values.size(); }
};

/// Points that are left out: those that have all of these values.
struct SweepExclusion {
  std::vector<std::pair<std::string, std::string>> values;  ///< key name, text
};

/// A sweep file. Format: docs/formats/sweep.md
struct SweepSpec {
  std::string file;  ///< diagnostics name it; paths are relative to it
  std::string name;
  SweepVerb verb = SweepVerb::kSimulate;
  std::map<std::string, std::string> base;  ///< input -> file, shipped name or generator
  std::vector<SweepAxis> axes;
  std::vector<SweepExclusion> exclude;
  std::uint64_t seed = 1;
  bool map_layers = false;
  std::vector<std::string> assume;
  std::string sharing = "flow";        ///< of simulate
  int iterations = 8;                  ///< of a load trace
  std::string framework = "megatron";  ///< of plan, as all below
  std::string pins, open;
  std::int64_t budget = 0;

  /// All keys, axis by axis.
  std::vector<const SweepKey*> keys() const;
};

inline constexpr std::size_t kMaxSweepPoints = 1'000'000;

/// Reads and checks a sweep file: unknown keys, inputs and axes that name nothing, lists of different lengths
/// in one axis, a key that stands twice, exclusions that exclude nothing, more than kMaxSweepPoints points.
/// Throws InputError with every fault.
SweepSpec read_sweep(const base::Document& document);

struct SweepPoint {
  std::size_t number = 0;
  std::vector<std::size_t> choice;  ///< [axis] -> index of the value
};

/// All points that are not excluded, the last axis running fastest, numbered from 0.
std::vector<SweepPoint> list_points(const SweepSpec& spec);

/// The values of a point, one a key in the order of spec.keys().
std::vector<std::string> point_texts(const SweepSpec& spec, const SweepPoint& point);

/// "load zipf:1.0, run.global_batch 512"
std::string describe_point(const SweepSpec& spec, const SweepPoint& point);

}  // namespace moeplan::planner
