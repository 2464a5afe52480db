#include "planner/placement/maps.h"

#include <algorithm>

#include "base/json_writer.h"

namespace moeplan::planner {

namespace {

void write_row(base::JsonWriter& json, const std::vector<std::int32_t>& row) {
  json.inline_array(std::vector<std::int64_t>(row.begin(), row.end()));
}

}  // namespace

ExpertMaps make_maps(const sim::Placement& placement, int experts) {
  ExpertMaps maps;
  maps.physical_to_logical = placement.slots;
  std::size_t most = 0;
  for (const std::vector<std::int32_t>& slots : placement.slots) {
    std::vector<std::vector<std::int32_t>> physical(static_cast<std::size_t>(experts));
    for (std::size_t s = 0; s < slots.size(); ++s)
      physical[static_cast<std::size_t>(slots[s])].push_back(static_cast<std::int32_t>(s));
    std::vector<std::int32_t> count;
    for (const std::vector<std::int32_t>& row : physical) {
      count.push_back(static_cast<std::int32_t>(row.size()));
      most = std::max(most, row.size());
    }
    maps.logical_count.push_back(std::move(count));
    maps.logical_to_physical.push_back(std::move(physical));
  }
  for (auto& layer : maps.logical_to_physical) {
    for (std::vector<std::int32_t>& row : layer) row.resize(most, -1);
  }
  return maps;
}

std::string write_maps_json(const ExpertMaps& maps) {
  base::JsonWriter json;
  json.begin_object();
  json.key("phy2log");
  json.begin_array();
  for (const auto& row : maps.physical_to_logical) write_row(json, row);
  json.end_array();
  json.key("log2phy");
  json.begin_array();
  for (const auto& layer : maps.logical_to_physical) {
    json.begin_array();
    for (const auto& row : layer) write_row(json, row);
    json.end_array();
  }
  json.end_array();
  json.key("logcnt");
  json.begin_array();
  for (const auto& row : maps.logical_count) write_row(json, row);
  json.end_array();
  json.end_object();
  return json.text();
}

}  // namespace moeplan::planner
