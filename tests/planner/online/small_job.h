#pragma once

#include <memory>
#include <string>

#include "base/config_files.h"
#include "base/files.h"
#include "sim/cost/profile_data.h"
#include "sim/schedule/simulate.h"
#include "tests/support/corpus.h"

namespace moeplan::planner {

/// tiny-moe (4 layers, 3 of them MoE, 16 experts, top-2) on one or more nodes of 8 H100, 32 sequences of 1024
/// tokens; EP over all GPUs of a node.
struct SmallJob {
  /// `load`: a generator, or the text of a CSV file.
  explicit SmallJob(const std::string& load, const std::string& cluster_name = "hgx-h100-1n", int dp = 8,
                    int ep = 8)
      : cluster(topology::load_cluster(base::resolve_config("clusters", cluster_name))) {
    sim::LoadOptions options;
    options.moe_layers = model.moe_layers();
    options.experts = model.experts;
    options.top_k = model.top_k;
    std::string source = load;
    if (load.find('\n') != std::string::npos) {
      source = (folder.path() / "load.csv").string();
      base::write_file_atomically(source, load);
    }
    loads = sim::load_expert_loads(source, options);
    run.name = "small";
    run.global_batch = 32;
    run.seq_len = 1024;
    plan.name = "small";
    plan.layout.dp = dp;
    plan.layout.ep = ep;
    plan.layout.edp = dp / ep;
  }
  /// A host that has nothing to do: what placements change is the GPU's time.
  static sim::Profile quick_host() {
    sim::ProfileData data = sim::load_profile(base::resolve_config("profiles", "h100-sxm")).data();
    data.framework_share = 0.0;
    data.launch_overhead = {};
    return sim::Profile(data);
  }
  sim::Job job() const { return {cluster, profile, model, run, *loads}; }

  test::TemporaryFolder folder;
  topology::Cluster cluster;
  sim::Profile profile = quick_host();
  sim::ModelSpec model = sim::load_model(base::resolve_config("models", "tiny-moe"));
  sim::RunSpec run;
  std::unique_ptr<sim::ExpertLoads> loads;
  sim::PlanSpec plan;
};

/// A CSV load of the small job: every layer the same; expert hot[t] has `share` of the tokens in iteration t,
/// the others the rest alike.
inline std::string hot_trace(const std::vector<int>& hot, double share = 0.4, int layers = 3,
                             int experts = 16) {
  std::string text = "layer";
  for (int e = 0; e < experts; ++e) text += ",e" + std::to_string(e);
  text += "\n";
  for (int l = 0; l < layers; ++l) {
    for (const int h : hot) {
      text += std::to_string(l);
      for (int e = 0; e < experts; ++e)
        text += "," + std::to_string(e == h ? share * 1e6 : (1 - share) * 1e6 / (experts - 1));
      text += "\n";
    }
  }
  return text;
}

}  // namespace moeplan::planner
