#pragma once

#include <memory>
#include <string>

#include "sim/schedule/simulate.h"
#include "tests/support/corpus.h"

namespace moeplan::sim::test_data {

/// A small job on real profiles: everything a Job refers to, and a plan.
struct StepCase {
  topology::Cluster cluster;
  Profile profile = load_profile((test::source_root() / "configs/profiles/h100-sxm.yaml").string());
  ModelSpec model = load_model((test::source_root() / "configs/models/qwen3-30b-a3b.json").string());
  RunSpec run;
  std::unique_ptr<ExpertLoads> loads;
  PlanSpec plan;

  explicit StepCase(const std::string& load = "uniform", int layers = 4,
                    const std::string& cluster_name = "hgx-h100-4n")
      : cluster(topology::load_cluster(
            (test::source_root() / "configs/clusters" / (cluster_name + ".yaml")).string())) {
    model.layers.resize(static_cast<std::size_t>(layers));
    run.name = "test";
    run.global_batch = 64;
    run.seq_len = 4096;
    use_load(load);
    lay_out(1, 1, 1, 8);
  }

  void use_load(const std::string& load) {
    LoadOptions options;
    options.moe_layers = model.moe_layers();
    options.experts = model.experts;
    options.top_k = model.top_k;
    loads = load_expert_loads(load, options);
  }

  void lay_out(int tp, int pp, int vp, int ep) {
    plan.layout = {};
    plan.layout.tp = tp;
    plan.layout.pp = pp;
    plan.layout.vp = vp;
    plan.layout.ep = ep;
    plan.layout.dp = cluster.ranks() / (tp * pp);
    plan.layout.edp = cluster.ranks() / (ep * pp);
  }

  Job job() const { return {cluster, profile, model, run, *loads}; }

  StepResult simulate(NetworkMode mode = NetworkMode::kFlow, bool what_if = false) const {
    SimulateOptions options;
    options.network = mode;
    options.what_if = what_if;
    return simulate_step(job(), plan, options).result;
  }
};

}  // namespace moeplan::sim::test_data
