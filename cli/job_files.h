#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "report/plan_page.h"
#include "sim/schedule/simulate.h"

namespace moeplan::cli {

/// The files that make a job, as the command line names them.
struct JobOptions {
  std::string cluster;
  std::string model;
  std::string run;
  std::string load = "uniform";     ///< a file or a generator
  std::string profile;              ///< empty = the one that the cluster names
  std::vector<std::string> assume;  ///< KIND=attention
  bool map_layers = false;          ///< a load of another number of layers is stretched
};

/// How a step's transfers share links: "bound" or "flow"; InputError otherwise ("window" is of `network`
/// alone).
sim::NetworkMode parse_network_mode(const std::string& text);

/// The load that they name, for this model. Throws InputError.
std::unique_ptr<sim::ExpertLoads> make_loads(const JobOptions& options, const sim::ModelSpec& model,
                                             std::uint64_t seed);

/// The job that they describe, loaded; everything lives as long as this.
class JobFiles {
 public:
  JobFiles(const JobOptions& options, std::uint64_t seed);
  sim::Job job() const { return {cluster_, profile_, model_, run_, *loads_}; }
  /// One line an input, for reports.
  report::Inputs describe() const;
  /// The same with what the profile rests on and the seed.
  report::Inputs provenance() const;
  /// Fingerprint of all inputs and the seed, 16 hexadecimal digits.
  const std::string& digest() const { return digest_; }

 private:
  topology::Cluster cluster_;
  sim::Profile profile_;
  sim::ModelSpec model_;
  sim::RunSpec run_;
  std::unique_ptr<sim::ExpertLoads> loads_;
  std::string digest_;
  std::uint64_t seed_;
};

}  // namespace moeplan::cli
