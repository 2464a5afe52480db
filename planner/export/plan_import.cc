#include "planner/export/plan_import.h"

#include "base/document.h"
#include "planner/export/deepspeed_config.h"
#include "planner/export/megatron_import.h"

namespace moeplan::planner {

PlanImport import_plan(std::string_view text, const PlanImportOptions& options) {
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  if (start != std::string_view::npos && text[start] == '{')
    return import_deepspeed_plan(base::parse_json(text, options.file), options);
  return import_megatron_plan(text, options);
}

}  // namespace moeplan::planner
