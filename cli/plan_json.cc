#include "cli/plan_json.h"

#include "base/document.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "sim/result/json.h"

namespace moeplan::cli {

namespace {

/// A YAML scalar as JSON: numbers and truth values as such, the rest as text.
void write_scalar(const base::Node& node, base::JsonWriter& json) {
  if (node.quoted) return json.value(node.text);
  if (node.text == "true" || node.text == "false") return json.value(node.text == "true");
  if (const auto whole = base::parse_integer(node.text)) return json.value(*whole);
  if (const auto number = base::parse_number(node.text)) return json.value(*number);
  json.value(node.text);
}

void write_node(const base::Node& node, base::JsonWriter& json) {
  switch (node.kind) {
    case base::NodeKind::kNull: json.null(); break;
    case base::NodeKind::kScalar: write_scalar(node, json); break;
    case base::NodeKind::kSequence:
      json.begin_array();
      for (const base::Node& item : node.items) write_node(item, json);
      json.end_array();
      break;
    case base::NodeKind::kMap:
      json.begin_object();
      for (const base::Member& member : node.members) {
        json.key(member.key);
        write_node(member.value, json);
      }
      json.end_object();
      break;
  }
}

}  // namespace

std::string write_plan_json(const planner::SearchResult& search, const std::string& digest, std::uint64_t seed) {
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
    write_node(base::parse_yaml(sim::write_plan(ranked.plan), ranked.plan.name).root, json);
    json.field("why", ranked.why);
    sim::write_result_fields(json, ranked.result);
    json.end_object();
  }
  json.end_array();
  json.field("why", search.why);
  json.end_object();
  return json.text();
}

}  // namespace moeplan::cli
