#include "planner/export/export_report.h"

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"

namespace moeplan::planner {

std::string describe_export(const ExportTarget& target, const sim::PlanSpec& plan, const Exported& exported) {
  std::string text = fmt::format("{} ({}) as {}\n", plan.name, sim::short_name(plan), target.what);
  for (const ExportFile& file : exported.files) text += fmt::format("  {}: {}\n", file.name, file.what);
  if (exported.not_expressed.empty()) {
    text += "everything that the plan says is in these files\n";
  } else {
    text += fmt::format("what {} cannot express:\n", target.name);
    for (const ExportRemark& remark : exported.not_expressed)
      text += fmt::format("  {} ({}): {}\n", remark.part, remark.value, remark.done);
  }
  if (!exported.next.empty()) text += "next:\n";
  for (const std::string& step : exported.next) text += fmt::format("  {}\n", step);
  return text;
}

std::string write_export_json(const ExportTarget& target, const sim::PlanSpec& plan, const Exported& exported,
                              const std::string& folder) {
  base::JsonWriter json;
  json.begin_object();
  json.field("schema", "moeplan.export/1");
  json.field("moeplan_version", base::version());
  json.field("target", target.name);
  json.field("plan", plan.name);
  json.field("folder", folder);
  json.key("files");
  json.begin_array();
  for (const ExportFile& file : exported.files) {
    json.begin_object();
    json.field("name", file.name);
    json.field("bytes", file.content.size());
    json.field("what", file.what);
    json.end_object();
  }
  json.end_array();
  json.key("not_expressed");
  json.begin_array();
  for (const ExportRemark& remark : exported.not_expressed) {
    json.begin_object();
    json.field("part", remark.part);
    json.field("value", remark.value);
    json.field("done", remark.done);
    json.end_object();
  }
  json.end_array();
  json.key("next");
  json.begin_array();
  for (const std::string& step : exported.next) json.value(step);
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace moeplan::planner
