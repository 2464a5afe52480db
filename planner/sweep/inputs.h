#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "planner/sweep/grid.h"
#include "sim/schedule/simulate.h"

namespace moeplan::planner {

/// What one point runs on. Points share what they have in common.
struct PointInputs {
  std::shared_ptr<const topology::Cluster> cluster;
  std::shared_ptr<const sim::Profile> profile;  ///< at sustained clocks
  std::shared_ptr<const sim::ModelSpec> model;
  std::shared_ptr<const sim::RunSpec> run;
  std::shared_ptr<const sim::ExpertLoads> loads;
  std::shared_ptr<const sim::PlanSpec>
      plan;             ///< of simulate; nullptr where `refusal` says what is wrong with it
  std::string refusal;  ///< the point's values make no plan: degrees that do not divide each other
  /// Fingerprint of all that the result depends on: contents of files, not their names; options; this
  /// program's version.
  std::string key;
  sim::Job job() const { return {*cluster, *profile, *model, *run, *loads}; }
};

/// Reads the inputs of points, each file and each set of values once. Thread-safe.
class SweepInputs {
 public:
  explicit SweepInputs(const SweepSpec& spec);
  ~SweepInputs();
  SweepInputs(const SweepInputs&) = delete;
  SweepInputs& operator=(const SweepInputs&) = delete;

  /// Throws InputError where a file cannot be read or a value does not fit into it; the message says which
  /// point. Where values of an axis change a plan to what is none, that is the point's result and no error.
  PointInputs resolve(const SweepPoint& point);

 private:
  struct Chosen;
  template <class T>
  struct Shelf;
  struct Shelves;

  Chosen choose(const SweepPoint& point, const std::string& input) const;
  std::string content_of(const std::string& path);
  std::shared_ptr<const base::Document> document_of(const std::string& path);
  base::Document patched(const std::string& path, const Chosen& chosen);
  PointInputs resolve_inputs(const SweepPoint& point);

  const SweepSpec& spec_;
  std::mutex mutex_;
  std::unique_ptr<Shelves> shelves_;
};

}  // namespace moeplan::planner
