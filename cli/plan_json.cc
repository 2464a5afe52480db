#include "cli/plan_json.h"

#include "base/document.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "sim/result/json.h"

namespace moeplan::cli {

std::string write_plan_json(const planner::SearchResult& search, const PlanAnswers& answers,
                            const std::string& digest, std::uint64_t seed) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.plan/1");
  json.field("moeplan_version", base::version());
  json.field("seed", seed);
  json.field("input_digest", digest);
  json.field("deterministic", search.deterministic);
  json.field("status", search.feasible ? "ok" : "infeasible");
  json.field("searched", search.searched);
  json.key("pruned");
  json.begin_object();
  for (const auto& [rule, count] : search.pruned) json.field(rule, count);
  json.end_object();
  json.key("plans");
  json.begin_array();
  for (std::size_t k = 0; k < search.plans.size(); ++k) {
    const planner::RankedPlan& ranked = search.plans[k];
    json.begin_object();
    json.field("rank", static_cast<std::int64_t>(k) + 1);
    json.key("plan");
    base::write_node(base::parse_yaml(sim::write_plan(ranked.plan), ranked.plan.name).root, json);
    json.field("why", ranked.why);
    sim::write_result_fields(json, ranked.result);
    json.end_object();
  }
  json.end_array();
  json.key("unseen");
  json.begin_object();
  json.field("points", search.unseen.points);
  if (search.unseen.floor < base::Seconds::infinity() && !search.unseen.not_estimated)
    json.field("lower_bound_s", search.unseen.floor.s());
  json.end_object();
  write_answers_json(answers, search, json);
  json.field("why", search.why);
  json.end_object();
  return json.text();
}

}  // namespace moeplan::cli
