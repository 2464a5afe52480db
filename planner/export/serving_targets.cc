// Expert maps of serving engines, and EPLB's tensors.
#include <fmt/format.h>

#include "planner/export/expert_map.h"
#include "planner/export/export_target.h"
#include "planner/export/serving_rules.h"
#include "planner/placement/maps.h"

namespace moeplan::planner {

namespace {

constexpr std::string_view kLeftOut = "it is of the training run; an expert map says where experts stand";

ExportTarget serving_target(std::string_view name, std::string_view what,
                            Exported (*write)(const ExportJob&)) {
  ExportTarget target;
  target.name = name;
  target.what = what;
  target.needs_model = true;
  target.expresses = {PlanPart::kExpertParallel, PlanPart::kPlacement, PlanPart::kReplicas};
  target.left_out = kLeftOut;
  target.write = write;
  return target;
}

/// A map of decoder layers says nothing of the blocks behind them.
void remark_on_mtp(const ExportJob& job, Exported& out) {
  if (job.model->mtp_layers > 0)
    out.next.push_back(
        fmt::format("{} multi-token-prediction blocks keep the engine's own placement: a plan places "
                    "the experts of decoder layers",
                    job.model->mtp_layers));
}

Exported write_sglang(const ExportJob& job) {
  const ExpertMap map = make_expert_map(job.plan, *job.model);
  Exported out;
  out.files = {{"expert-location.json", write_sglang_map(map),
                fmt::format("physical_to_logical_map of {} layers, {} slots each", map.model_layers,
                            map.slot_count())}};
  out.next.push_back(
      fmt::format("start SGLang with --ep-size {} --ep-num-redundant-experts {} --init-expert-location "
                  "expert-location.json",
                  map.ranks, map.redundant()));
  remark_on_mtp(job, out);
  return out;
}

ExportFile vllm_arguments(const ExpertMap& map, std::string_view strategy) {
  std::string text = "--enable-expert-parallel\n";
  if (!strategy.empty()) {
    text += fmt::format("--expert-placement-strategy {}\n", strategy);
  } else {
    text += fmt::format("--enable-eplb\n--eplb-config '{{\"num_redundant_experts\":{}}}'\n", map.redundant());
  }
  return {"vllm.args", text, "arguments of vllm serve, for xargs -a"};
}

Exported write_vllm(const ExportJob& job) {
  const ExpertMap map = make_expert_map(job.plan, *job.model);
  refuse_faults("vLLM would not start", find_vllm_faults(map));
  Exported out;
  const bool spread = is_round_robin(map) && job.model->groups > 1;
  if (is_linear(map) || spread) {
    out.files = {vllm_arguments(map, spread ? "round_robin" : "linear")};
    if (spread)
      out.next.emplace_back(
          "with an all-to-all backend other than DeepEP's low-latency one vLLM falls back from round_robin "
          "to linear");
  } else {
    out.files = {vllm_arguments(map, ""),
                 {"expert-map.json", write_vllm_map(map), "a row of slots for each MoE layer"}};
    out.not_expressed.push_back({std::string(name(PlanPart::kPlacement)), job.plan.placement.algorithm,
                                 "no released vLLM reads an expert map: vllm.args fix the number of "
                                 "redundant experts, EPLB places them by "
                                 "the loads it sees; expert-map.json has the form of pull request 49572"});
  }
  out.next.push_back(
      fmt::format("run vllm serve with these arguments so that tensor x data parallelism is {}", map.ranks));
  remark_on_mtp(job, out);
  return out;
}

Exported write_ascend(const ExportJob& job) {
  const ExpertMap map = make_expert_map(job.plan, *job.model);
  refuse_faults("vllm-ascend would misread the map", find_ascend_faults(map));
  Exported out;
  out.files = {{"expert-map.json", write_ascend_map(map),
                fmt::format("experts of {} devices in {} MoE layers", map.ranks, map.slots.size())}};
  out.next.push_back(
      fmt::format("start vllm-ascend on {} devices with --enable-expert-parallel and --additional-config "
                  "'{{\"eplb_config\": {{\"expert_map_path\": \"expert-map.json\", "
                  "\"num_redundant_experts\": {}}}}}'",
                  map.ranks, map.redundant()));
  remark_on_mtp(job, out);
  return out;
}

Exported write_trtllm(const ExportJob& job) {
  const ExpertMap map = make_expert_map(job.plan, *job.model);
  refuse_faults("TensorRT-LLM would not use the map", find_trtllm_faults(map, *job.model));
  Exported out;
  out.files = {
      {"moe-load-balancer.yaml", write_trtllm_map(map),
       fmt::format("assignments of {} MoE layers, {} slots each", map.slots.size(), map.slot_count())}};
  out.next.push_back(fmt::format(
      "name the file as moe_config.load_balancer in the options file, with moe_expert_parallel_size {}",
      map.ranks));
  remark_on_mtp(job, out);
  return out;
}

template <class Rows>
void append_rows(const Rows& rows, std::vector<std::int64_t>& values) {
  for (const auto& row : rows) values.insert(values.end(), row.begin(), row.end());
}

Exported write_eplb(const ExportJob& job) {
  const ExpertMap map = make_expert_map(job.plan, *job.model);
  const ExpertMaps maps = make_maps({job.plan.placement.algorithm, map.slots}, map.experts);
  const auto layers = static_cast<std::int64_t>(map.slots.size());
  const auto most = static_cast<std::int64_t>(maps.logical_to_physical.front().front().size());
  std::vector<std::int64_t> physical;
  append_rows(maps.physical_to_logical, physical);
  std::vector<std::int64_t> logical;
  for (const auto& layer : maps.logical_to_physical) append_rows(layer, logical);
  std::vector<std::int64_t> count;
  append_rows(maps.logical_count, count);
  Exported out;
  out.files = {
      {"eplb.json", write_maps_json(maps), "phy2log, log2phy and logcnt"},
      {"phy2log.npy", write_npy({layers, map.slot_count()}, physical), "int64 [MoE layer][slot] -> expert"},
      {"log2phy.npy", write_npy({layers, map.experts, most}, logical),
       "int64 [MoE layer][expert] -> slots, then -1"},
      {"logcnt.npy", write_npy({layers, map.experts}, count), "int64 [MoE layer][expert] -> replicas"}};
  out.next.push_back(fmt::format(
      "rows are the {} MoE layers in model order (decoder layers {} to {}); slot s is on rank s / {}", layers,
      map.layers.front(), map.layers.back(), map.slots_per_rank()));
  return out;
}

}  // namespace

ExportTarget sglang_target() {
  return serving_target("sglang", "SGLang's --init-expert-location file", write_sglang);
}

ExportTarget vllm_target() { return serving_target("vllm", "vLLM arguments and an expert map", write_vllm); }

ExportTarget ascend_target() {
  return serving_target("vllm-ascend", "vllm-ascend's expert_map_path file", write_ascend);
}

ExportTarget trtllm_target() {
  return serving_target("trtllm", "TensorRT-LLM's MoE load balancer file", write_trtllm);
}

ExportTarget eplb_target() {
  return serving_target("eplb", "EPLB's three tensors as JSON and .npy", write_eplb);
}

}  // namespace moeplan::planner
