#include "planner/export/megatron_flag_reader.h"

#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::planner {

void FlagReader::fault(const char* flag, std::string message, std::string hint) const {
  const MegatronFlags::Entry* entry = flags_.find(flag);
  base::Position at;
  if (entry != nullptr) at = entry->value_at.empty() ? entry->at : entry->value_at.front();
  sink_.add({file_, at, flag, std::move(message), std::move(hint)});
}

std::optional<std::string> FlagReader::text(const char* flag) const {
  const MegatronFlags::Entry* entry = flags_.find(flag);
  if (entry == nullptr) return std::nullopt;
  if (!entry->unresolved.empty()) {
    fault(flag,
          fmt::format("the value depends on {}, which has no value in this text", entry->unresolved.front()),
          fmt::format("give it with --define {}=VALUE", entry->unresolved.front()));
    return std::nullopt;
  }
  if (entry->values.empty()) {
    fault(flag, fmt::format("{} without a value", flag));
    return std::nullopt;
  }
  return entry->values.front();
}

std::optional<std::int64_t> FlagReader::whole(const char* flag, std::int64_t low) const {
  const auto value = text(flag);
  if (!value) return std::nullopt;
  const auto number = base::parse_integer(*value);
  if (!number || *number < low || *number > std::numeric_limits<int>::max()) {
    fault(flag, fmt::format("found \"{}\", expected a whole number from {}", *value, low));
    return std::nullopt;
  }
  return number;
}

}  // namespace moeplan::planner
