#include "cli/sweep_part.h"

#include <array>
#include <optional>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::cli {

namespace {

constexpr std::int64_t kMostParts = 1'000'000;

std::optional<std::int64_t> number(const std::string& text) {
  const auto value = base::parse_integer(text);
  return value && *value >= 0 && *value <= kMostParts ? value : std::nullopt;
}

planner::SweepPart checked(std::int64_t index, std::int64_t count, const std::string& what) {
  if (count < 1 || index < 0 || index >= count)
    throw base::InputError(
        fmt::format("{}: found part {} of {}, expected one of 0 to {}", what, index, count, count - 1));
  return {static_cast<std::size_t>(index), static_cast<std::size_t>(count)};
}

}  // namespace

planner::SweepPart find_part(const std::string& text, const Environment& environment) {
  if (!text.empty()) {
    const std::size_t slash = text.find('/');
    const auto index = number(text.substr(0, slash));
    const auto count = slash == std::string::npos ? std::nullopt : number(text.substr(slash + 1));
    if (!index || !count)
      throw base::InputError(fmt::format("--part: found {}, expected I/N", base::excerpt(text)),
                             "--part 0/4 ... --part 3/4");
    return checked(*index, *count, "--part");
  }
  constexpr std::array<std::array<const char*, 2>, 3> kLaunchers{
      {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
       {"PMI_RANK", "PMI_SIZE"},
       {"SLURM_PROCID", "SLURM_NTASKS"}}};
  for (const auto& [rank, size] : kLaunchers) {
    const auto index = number(environment(rank));
    const auto count = number(environment(size));
    if (index && count && *count > 1) return checked(*index, *count, rank);
  }
  const std::string task = environment("SLURM_ARRAY_TASK_ID");
  if (task.empty()) return {};
  const auto at = number(task);
  const auto count = number(environment("SLURM_ARRAY_TASK_COUNT"));
  const auto least = number(environment("SLURM_ARRAY_TASK_MIN"));
  const auto most = number(environment("SLURM_ARRAY_TASK_MAX"));
  if (!at || !count || !least || !most)
    throw base::InputError(
        "SLURM_ARRAY_TASK_ID is set, and SLURM_ARRAY_TASK_COUNT, _MIN and _MAX do not say how many there are",
        "say it with --part I/N");
  const std::int64_t step = *count > 1 ? (*most - *least) / (*count - 1) : 1;
  if (*count > 1 && (step < 1 || *least + step * (*count - 1) != *most || (*at - *least) % step != 0))
    throw base::InputError(
        fmt::format("the Slurm array {} to {} of {} tasks has gaps", *least, *most, *count),
        "number it from 0 without gaps, or say --part I/N");
  return checked((*at - *least) / step, *count, "SLURM_ARRAY_TASK_ID");
}

}  // namespace moeplan::cli
