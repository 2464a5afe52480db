#include "planner/export/fastmoe_files.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "base/json_writer.h"
#include "planner/export/expert_map.h"
#include "planner/export/fault_list.h"

namespace moeplan::planner {

namespace {

using sim::NumberFormat;

constexpr std::int64_t kMaxCounts = 50'000'000;

void check_layout(const PlanContext& c, const sim::PlanSpec& plan, FaultList& f) {
  const sim::ParallelLayout& l = plan.layout;
  f.require(l.world() == c.gpus, "world-divides", fmt::format("a plan of {} GPUs on {}", l.world(), c.gpus));
  f.require(c.model.is_moe() && c.model.experts % l.ep == 0, "ep-divides-experts",
            fmt::format("EP {} does not divide {} experts", l.ep, c.model.experts));
  f.require(l.etp == 1, "expert-tensor-parallel", fmt::format("ETP {}: FastMoE does not cut experts", l.etp));
  f.require(l.cp == 1, "context-parallel",
            fmt::format("CP {}: the Megatron-LM that FastMoE patches has none", l.cp));
  f.require(l.vp == 1 && (l.pp == 1 || plan.schedule() == sim::PipelineSchedule::kOneForwardOneBackward),
            "schedule",
            fmt::format("schedule {}: pipelines of SmartMoE run 1F1B with one stage a rank",
                        sim::name(plan.schedule())));
  f.require(!sim::shards_gradients(plan.data_parallel()), "sharding",
            fmt::format("data_parallel {}: FastMoE's own data parallelism replicates",
                        sim::name(plan.data_parallel())));
  f.require(plan.split.layers_per_chunk.empty() && static_cast<int>(c.model.layers.size()) % l.pp == 0,
            "even-stages",
            fmt::format("{} layers on PP {}: stages have as many layers each", c.model.layers.size(), l.pp));
  const int chunks = plan.chunk_degree;
  f.require(
      chunks == plan.backward_chunks() && l.ep % chunks == 0, "chunks-divide",
      fmt::format(
          "{} chunks ({} backward) on EP {}: FasterMoE cuts along the devices, as many pieces both ways",
          chunks, plan.backward_chunks(), l.ep));
  f.require(chunks == 1 || c.model.experts == l.ep, "one-expert-a-rank",
            fmt::format("{} chunks with {} experts a rank: FasterMoE's schedule is for one", chunks,
                        c.model.experts / l.ep));
  const std::int64_t batch = std::int64_t{l.dp} * plan.micro_batch;
  f.require(c.run.global_batch % batch == 0, "batch-divides",
            fmt::format("global batch {} is not a multiple of DP {} x micro-batch {}", c.run.global_batch,
                        l.dp, plan.micro_batch));
}

void check_job(const PlanContext& c, FaultList& f) {
  const NumberFormat gemm = c.run.precision.gemm;
  f.require(gemm == NumberFormat::kFp16 || gemm == NumberFormat::kBf16 || gemm == NumberFormat::kFp32,
            "precision", fmt::format("matrix products in {}: expected fp16, bf16 or fp32", sim::name(gemm)));
  f.require(c.run.gate != sim::GatePolicy::kForceBalanced, "gate", "a force-balanced gate: FastMoE has none");
  f.require(
      c.run.router_loss != sim::RouterLoss::kSequence && c.run.router_loss != sim::RouterLoss::kGlobal,
      "router-loss",
      fmt::format("router_loss {}: FastMoE's gates balance a micro-batch", sim::name(c.run.router_loss)));
}

void write_variables(const PlanContext& c, const sim::PlanSpec& plan, int gpus_per_node, std::string& text,
                     std::vector<ExportRemark>& remarks) {
  const bool chunked = plan.chunk_degree > 1;
  text += fmt::format("export FMOE_FASTER_SCHEDULE_ENABLE={}\n", chunked ? 1 : 0);
  if (chunked) {
    const int group = plan.layout.ep / plan.chunk_degree;
    text += fmt::format("export FMOE_FASTER_GROUP_SIZE={}\n", group);
    remarks.push_back({std::string(name(PlanPart::kChunks)), std::to_string(plan.chunk_degree),
                       fmt::format("other form: FasterMoE exchanges with groups of {} neighbours in turn, "
                                   "where a plan cuts the tokens",
                                   group)});
  }
  text += "export FMOE_FASTER_SHADOW_ENABLE=0\n";
  text += fmt::format("export FMOE_TOPO_GPUS_PER_NODE={}\n", std::min(gpus_per_node, c.gpus));
}

void write_arguments(const PlanContext& c, const sim::PlanSpec& plan, std::string& text) {
  const sim::ParallelLayout& l = plan.layout;
  const auto add = [&text](const auto& flag, const auto& value) {
    text += fmt::format("  {} {}\n", flag, value);
  };
  text += "  --fmoefy\n";
  add("--num-experts", c.model.experts / l.ep);  // of a rank
  add("--top-k", c.model.top_k);
  add("--hidden-hidden-size", c.model.expert_ffn);
  add("--expert-ep-size", l.ep);
  add("--expert-dp-size", l.edp);
  if (c.run.gate == sim::GatePolicy::kCapacity) {
    add("--balance-strategy", "gshard");
    add("--gshard-cap", c.run.capacity_factor);
  } else {
    add("--balance-strategy", c.run.router_loss == sim::RouterLoss::kNone ? "naive" : "gshard");
  }
  add("--tensor-model-parallel-size", l.tp);
  add("--pipeline-model-parallel-size", l.pp);
  add("--micro-batch-size", plan.micro_batch);
  add("--global-batch-size", c.run.global_batch);
  add("--seq-length", c.run.seq_len);
  if (c.run.precision.gemm == NumberFormat::kFp16) text += "  --fp16\n";
  if (c.run.precision.gemm == NumberFormat::kBf16) text += "  --bf16\n";
}

}  // namespace

std::vector<sim::PlanFault> find_fastmoe_faults(const PlanContext& c, const sim::PlanSpec& plan) {
  FaultList f;
  check_layout(c, plan, f);
  check_job(c, f);
  require_permutation(c.model, plan.placement, "a SmartMoE mapping holds each expert once", f);
  return f.found;
}

std::string write_fastmoe_script(const PlanContext& c, const sim::PlanSpec& plan, int gpus_per_node,
                                 std::vector<ExportRemark>& remarks) {
  std::string text = fmt::format(
      "# {} on {} GPUs: {}\n# To be sourced: variables, and arguments for a Megatron-LM that FastMoE has "
      "patched.\n",
      c.model.name, c.gpus, sim::short_name(plan));
  write_variables(c, plan, gpus_per_node, text, remarks);
  text += "FASTMOE_ARGS=(\n";
  write_arguments(c, plan, text);
  return text + ")\n";
}

std::string write_smartmoe_mapping(const sim::PlanSpec& plan, const sim::ModelSpec& model) {
  const ExpertMap map = make_expert_map(plan, model);
  base::JsonWriter json;
  json.begin_object();
  json.field("num_expert", map.slots_per_rank());
  json.field("world_size", map.ranks);
  json.key("expert_mapping");
  json.begin_array();
  for (const std::vector<std::int32_t>& slots : map.slots) {
    std::vector<std::int64_t> slot_of(slots.size());
    for (std::size_t s = 0; s < slots.size(); ++s)
      slot_of[static_cast<std::size_t>(slots[s])] = static_cast<std::int64_t>(s);
    json.inline_array(slot_of);
  }
  json.end_array();
  json.end_object();
  return json.text();
}

std::vector<ExportFile> write_gate_tables(const PlanContext& c, const sim::PlanSpec& plan,
                                          const sim::ExpertLoads& loads, int iteration) {
  const sim::ParallelLayout& l = plan.layout;
  const auto micro_batches = static_cast<int>(sim::micro_batches(plan, c.run.global_batch));
  sim::RoutingShape shape;
  shape.sources = l.ranks_per_stage();
  shape.tokens = plan.micro_batch * c.run.seq_len / (l.tp * l.cp);
  shape.micro_batches = micro_batches;
  shape.parts = l.tp * l.cp;
  const std::int64_t counts =
      std::int64_t{shape.sources} * loads.moe_layers() * micro_batches * loads.experts();
  if (counts > kMaxCounts)
    throw base::InputError(
        fmt::format("gate tables of {} ranks x {} MoE layers x {} micro-batches x {} experts hold {} counts, "
                    "expected at most {}",
                    shape.sources, loads.moe_layers(), micro_batches, loads.experts(), counts, kMaxCounts),
        "fewer micro-batches: a smaller global batch in the run file");
  std::vector<std::string> lines(static_cast<std::size_t>(shape.sources));
  for (int layer = 0; layer < loads.moe_layers(); ++layer) {
    for (std::string& line : lines) line += fmt::format("{}:[", layer);
    for (int m = 0; m < micro_batches; ++m) {
      const sim::RoutingMatrix matrix = loads.routing(iteration, layer, m, shape);
      for (int source = 0; source < shape.sources; ++source)
        lines[static_cast<std::size_t>(source)] +=
            fmt::format("{}[{}]", m > 0 ? ", " : "", fmt::join(matrix.row(source), ", "));
    }
    for (std::string& line : lines) line += "]\n";
  }
  std::vector<ExportFile> files;
  for (std::size_t rank = 0; rank < lines.size(); ++rank)
    files.push_back({fmt::format("gate-tables/table_iter{}_rank{}.log", iteration, rank),
                     std::move(lines[rank]),
                     fmt::format("tokens of rank {} per expert, layer by layer", rank)});
  return files;
}

}  // namespace moeplan::planner
