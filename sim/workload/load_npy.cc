#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "sim/workload/load_log.h"
#include "sim/workload/npy_array.h"
#include "sim/workload/zip_archive.h"

namespace moeplan::sim {

namespace {

constexpr std::size_t kMaxArrayBytes = std::size_t{1} << 31;
constexpr std::int64_t kMaxDimension = 10'000'000;

[[noreturn]] void refuse(const std::string& file, const std::string& message, const std::string& hint = "") {
  throw base::InputError({base::Diagnostic{file, {}, "load", message, hint}});
}

/// The array of an archive that holds the loads: the one called counts, or the only one.
const ZipEntry& pick_entry(const std::vector<ZipEntry>& entries, const std::string& file) {
  for (const ZipEntry& entry : entries) {
    if (entry.name == "counts.npy") return entry;
  }
  if (entries.size() == 1) return entries.front();
  std::string names;
  for (const ZipEntry& entry : entries)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", entry.name.substr(0, 60));
  refuse(file, fmt::format("found {} arrays ({}), expected one called counts", entries.size(),
                           names.substr(0, 400)));
}

double checked(double value, const std::string& file) {
  if (!(value >= 0.0) || !std::isfinite(value))
    refuse(file, fmt::format("found {} tokens, expected counts or rates", value));
  return value;
}

std::int32_t checked_count(double value, const std::string& file) {
  if (checked(value, file) != std::floor(value) || value > std::numeric_limits<std::int32_t>::max()) {
    refuse(file,
           fmt::format("found {} tokens, expected whole counts below 2^31 by source and micro-batch", value));
  }
  return static_cast<std::int32_t>(value);
}

LoadLog to_log(const NpyArray& array, const std::string& file) {
  const std::vector<std::int64_t>& shape = array.shape;
  const bool good_rank = shape.size() == 2 || shape.size() == 3 || shape.size() == 5;
  if (!good_rank ||
      std::any_of(shape.begin(), shape.end(), [](std::int64_t n) { return n < 1 || n > kMaxDimension; })) {
    refuse(file, fmt::format("found an array of shape [{}]", fmt::join(shape, ", ")),
           "expected [layer, expert], [iteration, layer, expert] or [iteration, rank, layer, micro-batch, "
           "expert]");
  }
  const auto size = [&](std::size_t i) { return static_cast<int>(shape[i]); };
  LoadLog log;
  log.file = file;
  log.experts = size(shape.size() - 1);
  if (shape.size() == 5) {
    log.iterations = size(0);
    log.sources = size(1);
    log.layers = size(2);
    log.micro_batches = size(3);
    log.counts.resize(array.count());
    for (std::size_t i = 0; i < log.counts.size(); ++i) log.counts[i] = checked_count(array.at(i), file);
    return log;
  }
  log.iterations = shape.size() == 3 ? size(0) : 1;
  log.layers = size(shape.size() - 2);
  log.values.resize(array.count());
  for (std::size_t i = 0; i < log.values.size(); ++i) log.values[i] = checked(array.at(i), file);
  return log;
}

TokenTrace to_trace(const NpyArray& array, const std::string& file) {
  const std::vector<std::int64_t>& shape = array.shape;
  const std::size_t skip = shape.size() == 5 ? 2 : 0;
  if ((shape.size() != 3 && shape.size() != 5) || array.kind == 'f' ||
      std::any_of(shape.begin(), shape.end(), [](std::int64_t n) { return n < 1 || n > kMaxDimension; })) {
    refuse(file, fmt::format("found topk_ids of shape [{}]", fmt::join(shape, ", ")),
           "expected whole numbers of shape [token, layer, k] or [iteration, rank, token, layer, k]");
  }
  TokenTrace trace;
  trace.file = file;
  trace.iterations = skip > 0 ? static_cast<int>(shape[0]) : 1;
  trace.sources = skip > 0 ? static_cast<int>(shape[1]) : 1;
  trace.tokens = shape[skip];
  trace.layers = static_cast<int>(shape[skip + 1]);
  trace.top_k = static_cast<int>(shape[skip + 2]);
  trace.experts.resize(array.count());
  for (std::size_t i = 0; i < trace.experts.size(); ++i) {
    const double id = array.at(i);
    if (id < 0.0 || id > std::numeric_limits<std::int32_t>::max())
      refuse(file, fmt::format("found the expert {} in topk_ids, expected numbers from 0", id));
    trace.experts[i] = static_cast<std::int32_t>(id);
  }
  return trace;
}

}  // namespace

std::optional<TokenTrace> read_token_trace(const std::string& path) {
  const std::string bytes = base::read_text_file(path);
  if (bytes.size() < 2 || bytes[0] != 'P' || bytes[1] != 'K') return std::nullopt;
  for (const ZipEntry& entry : list_zip(bytes, path)) {
    if (entry.name != "topk_ids.npy") continue;
    const std::string content = read_zip_entry(bytes, entry, kMaxArrayBytes, path);
    return to_trace(parse_npy(content, path), path);
  }
  return std::nullopt;
}

LoadLog read_load_npy(const std::string& path) {
  const std::string bytes = base::read_text_file(path);
  if (bytes.size() >= 2 && bytes[0] == 'P' && bytes[1] == 'K') {
    const std::vector<ZipEntry> entries = list_zip(bytes, path);
    if (entries.empty()) refuse(path, "the archive holds no arrays");
    const std::string content = read_zip_entry(bytes, pick_entry(entries, path), kMaxArrayBytes, path);
    return to_log(parse_npy(content, path), path);
  }
  return to_log(parse_npy(bytes, path), path);
}

}  // namespace moeplan::sim
