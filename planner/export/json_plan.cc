#include <optional>

#include "base/document.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "planner/export/export_target.h"

namespace moeplan::planner {

namespace {

void write_scalar(const base::Node& node, base::JsonWriter& json) {
  const auto number = node.quoted ? std::nullopt : base::parse_integer(node.text);
  const bool truth = !node.quoted && (node.text == "true" || node.text == "false");
  if (number) {
    json.value(*number);
  } else if (truth) {
    json.value(node.text == "true");
  } else {
    json.value(node.text);
  }
}

/// A YAML value as JSON: maps, lists, whole numbers, truth values and texts are all that a plan holds.
void write_node(const base::Node& node, base::JsonWriter& json) {
  switch (node.kind) {
    case base::NodeKind::kNull:
      json.null();
      break;
    case base::NodeKind::kScalar:
      write_scalar(node, json);
      break;
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

Exported write_json(const ExportJob& job) {
  base::JsonWriter json;
  write_node(base::parse_yaml(sim::write_plan(job.plan), "plan").root, json);
  Exported out;
  out.files = {{"plan.json", json.text(), "the plan file as JSON: same keys, read wherever a plan is"}};
  return out;
}

}  // namespace

ExportTarget json_target() {
  ExportTarget target;
  target.name = "json";
  target.what = "the plan itself as JSON, for scripts";
  target.expresses = all_plan_parts();
  target.write = write_json;
  return target;
}

}  // namespace moeplan::planner
