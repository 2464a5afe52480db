#include "cli/sweep_parts.h"

#include <array>
#include <cstdint>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::cli {

namespace {

using Variable = std::function<std::optional<std::string>(const char*)>;

constexpr std::int64_t kMaxParts = 9999;  // what shard names have digits for

struct LauncherNames {
  const char* rank;
  const char* size;
};

/// The variables of a job step of Slurm are set for batch scripts too, but for SLURM_STEP_NUM_TASKS.
constexpr std::array kLaunchers = {
    LauncherNames{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},  // Open MPI
    LauncherNames{"PMI_RANK", "PMI_SIZE"},                          // MPICH, Intel MPI
    LauncherNames{"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"},    // MVAPICH2
    LauncherNames{"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},          // srun
};

std::optional<std::int64_t> number(const Variable& variable, const char* name) {
  const auto text = variable(name);
  if (!text) return std::nullopt;
  const auto value = base::parse_integer(*text);
  if (!value)
    throw base::InputError(fmt::format("{}: found {}, expected a number", name, base::excerpt(*text)));
  return value;
}

sweep::Part make_part(std::int64_t index, std::int64_t count, const std::string& source) {
  if (count < 1 || count > kMaxParts || index < 0 || index >= count)
    throw base::InputError(fmt::format("{}: found part {} of {}, expected 1 to N of at most {}", source,
                                       index + 1, count, kMaxParts));
  return {static_cast<std::size_t>(index), static_cast<std::size_t>(count)};
}

sweep::Part parse_part(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto index = base::parse_integer(text.substr(0, slash));
  const auto count = slash == std::string::npos ? std::nullopt : base::parse_integer(text.substr(slash + 1));
  if (!index || !count)
    throw base::InputError(fmt::format("--part: found {}, expected I/N", base::excerpt(text)),
                           "write --part 1/4");
  return make_part(*index - 1, *count, "--part");
}

/// The share of a task of a Slurm array; source: `sbatch --array`, "Job Array Support", slurm.schedmd.com.
std::optional<sweep::Part> array_part(const Variable& variable) {
  const auto id = number(variable, "SLURM_ARRAY_TASK_ID");
  const auto count = number(variable, "SLURM_ARRAY_TASK_COUNT");
  if (!id || !count) return std::nullopt;
  const std::int64_t first = number(variable, "SLURM_ARRAY_TASK_MIN").value_or(0);
  const std::int64_t last = number(variable, "SLURM_ARRAY_TASK_MAX").value_or(first + *count - 1);
  const std::int64_t step = number(variable, "SLURM_ARRAY_TASK_STEP").value_or(1);
  if (step < 1 || (last - first) / step + 1 != *count || (*id - first) % step != 0)
    throw base::InputError(
        fmt::format("the Slurm array has {} tasks from {} to {} in steps of {}, expected one without gaps",
                    *count, first, last, step),
        "write --array=0-7, or say each task's share: --part I/N");
  return make_part((*id - first) / step, *count, "SLURM_ARRAY_TASK_ID");
}

}  // namespace

SweepShare find_sweep_share(const std::string& part, const Variable& variable) {
  SweepShare share;
  if (!part.empty()) {
    share.part = parse_part(part);
  } else if (const auto array = array_part(variable)) {
    share.part = *array;
  }
  for (const LauncherNames& names : kLaunchers) {
    const auto rank = number(variable, names.rank);
    const auto size = number(variable, names.size);
    if (!rank || !size) continue;
    const sweep::Part ranks = make_part(*rank, *size, names.rank);
    share.rank = ranks.index;
    share.ranks = ranks.count;
    share.part = make_part(static_cast<std::int64_t>(share.part.index * ranks.count + ranks.index),
                           static_cast<std::int64_t>(share.part.count * ranks.count), names.rank);
    break;
  }
  return share;
}

}  // namespace moeplan::cli
