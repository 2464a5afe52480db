#pragma once

#include <memory>
#include <string>

#include "sim/cost/profile_data.h"
#include "sim/schedule/simulate.h"
#include "tests/support/corpus.h"

namespace moeplan::sim::test_data {

/// The same GPU beside a host that has nothing to do but launches.
inline Profile without_framework(const Profile& profile) {
  ProfileData data = profile.data();
  data.framework_share = 0.0;
  return Profile(data);
}

/// A small job on real profiles: everything a Job refers to, and a plan. The host costs next to nothing, so
/// that times are the GPU's; `use_real_host` brings it back.
struct StepCase {
  topology::Cluster cluster;
  Profile real = load_profile((test::source_root() / "configs/profiles/h100-sxm.yaml").string());
  Profile profile = without_framework(real);
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

  void use_real_host() { profile = Profile(real.data()); }

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
