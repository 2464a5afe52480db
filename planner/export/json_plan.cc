#include "base/document.h"
#include "base/json_writer.h"
#include "planner/export/export_target.h"

namespace moeplan::planner {

namespace {

Exported write_json(const ExportJob& job) {
  base::JsonWriter json;
  base::write_node(base::parse_yaml(sim::write_plan(job.plan), "plan").root, json);
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
