#include "planner/export/export_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/files.h"
#include "base/json_writer.h"

namespace moeplan::planner {

std::size_t shown_files(const Exported& exported) {
  constexpr std::size_t kMost = 20;
  return exported.files.size() <= kMost ? exported.files.size() : kMost / 4;
}

std::vector<std::string> describe_remarks(const Exported& exported) {
  std::vector<std::string> fates;
  std::vector<std::string> parts;
  for (const ExportRemark& remark : exported.not_expressed) {
    const std::string part = fmt::format("{} ({})", remark.part, remark.value);
    const auto known = std::find(fates.begin(), fates.end(), remark.done);
    if (known == fates.end()) {
      fates.push_back(remark.done);
      parts.push_back(part);
    } else {
      parts[static_cast<std::size_t>(known - fates.begin())] += ", " + part;
    }
  }
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i] += ": " + fates[i];
  return parts;
}

std::string describe_export(const ExportTarget& target, const sim::PlanSpec& plan, const Exported& exported) {
  std::string text = fmt::format("{} ({}) as {}\n", plan.name, sim::short_name(plan), target.what);
  const std::size_t shown = shown_files(exported);
  for (std::size_t i = 0; i < shown; ++i)
    text += fmt::format("  {}: {}\n", exported.files[i].name, exported.files[i].what);
  if (shown < exported.files.size())
    text += fmt::format("  and {} more of the kind, up to {}\n", exported.files.size() - shown,
                        exported.files.back().name);
  if (exported.not_expressed.empty()) {
    text += "everything that the plan says is in these files\n";
  } else {
    text += fmt::format("what {} cannot express:\n", target.name);
    for (const std::string& remark : describe_remarks(exported)) text += fmt::format("  {}\n", remark);
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
