#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"

namespace moeplan::planner {

/// Rows of an expert map as they stand in a file.
struct ExpertRows {
  std::string kind;
  std::vector<int> layers;      ///< decoder layer of each row; empty = the MoE layers in order
  bool is_every_layer = false;  ///< rows of dense layers are among them
  bool is_one_for_all = false;  ///< one row that every MoE layer has
  int ranks = 0;                ///< 0 = the file does not say
  std::vector<std::vector<std::int32_t>> rows;
  std::vector<base::Position> at;  ///< of each row
};

/// The rows of a JSON or YAML map, by its keys. Throws InputError.
ExpertRows read_expert_rows(const base::Document& document);

/// The rows of a two-dimensional .npy array of whole numbers. Throws InputError.
ExpertRows read_npy_rows(std::string_view text, const std::string& file);

}  // namespace moeplan::planner
