#include "cli/mpi_command.h"

#include <filesystem>
#include <map>
#include <ostream>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "base/config_files.h"
#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/quantity_text.h"
#include "calibrate/drift/drift.h"
#include "calibrate/fit/rank_fit.h"
#include "calibrate/measure/rank_device.h"
#include "calibrate/measure/session.h"
#include "cli/mpi_ranks.h"
#include "sim/cost/profile.h"
#include "sim/cost/profile_writer.h"

namespace moeplan::cli {

namespace {

constexpr double kMostSeconds = 1e9;

void check_positive(const char* option, double value) {
  if (!(value > 0.0) || value > kMostSeconds)
    throw base::InputError(
        fmt::format("{}: found {}, expected a number above 0, at most {}", option, value, kMostSeconds));
}

base::Bytes largest_of(const CalibrateMpiOptions& options) {
  const auto size = base::parse_bytes(options.largest);
  if (!size.value || size.value->count() < 1)
    throw base::InputError("--largest: " + (size.value ? "expected a size above 0" : size.message), size.hint);
  return *size.value;
}

std::set<std::string> kinds_of(const CalibrateMpiOptions& options) {
  if (options.kinds.empty()) return {};
  try {
    return calibrate::parse_kinds(options.kinds);
  } catch (const calibrate::CaseError& error) {
    throw base::InputError(fmt::format("--cases: {}", error.what()));
  }
}

/// 64-bit FNV-1a, cut to what a case can hold: files of one name and other content are other cases.
std::int64_t digest(std::string_view text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return static_cast<std::int64_t>(hash % ((1ULL << 40) - 1)) + 1;
}

/// A traffic file as `moeplan network` reads it. Rows of one pair are added up; starts and routes cannot be
/// measured and are refused.
calibrate::Operation read_traffic(const std::string& path, int ranks) {
  const base::CsvTable table = base::load_csv(path);
  for (const char* column : {"start_s", "route"})
    if (table.column(column))
      throw base::InputError(fmt::format("{}: found a column {}, which a measurement cannot follow", path, column));
  const std::size_t src = table.require_column("src"), dst = table.require_column("dst"),
                    bytes = table.require_column("bytes");
  base::DiagnosticSink sink;
  std::map<std::pair<int, int>, std::int64_t> amounts;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::int64_t from = table.integer(row, src, sink), to = table.integer(row, dst, sink),
                       amount = table.integer(row, bytes, sink);
    for (const auto& [column, rank] : {std::pair(src, from), {dst, to}})
      if (rank < 0 || rank >= ranks)
        table.fault(row, column, fmt::format("found rank {}, expected one from 0 to {}", rank, ranks - 1), sink);
    if (amount < 0) table.fault(row, bytes, fmt::format("found {} bytes, expected 0 or more", amount), sink);
    if (from != to && amount > 0) amounts[{static_cast<int>(from), static_cast<int>(to)}] += amount;
  }
  sink.throw_if_any();
  calibrate::Operation operation;
  for (const auto& [pair, amount] : amounts) operation.transfers.push_back({pair.first, pair.second, amount});
  if (operation.transfers.empty()) throw base::InputError(path + ": found nothing to send between two ranks");
  return operation;
}

std::vector<calibrate::Case> cases_of(const CalibrateMpiOptions& options, calibrate::RankDevice& device) {
  if (options.traffic.empty()) {
    auto cases = calibrate::keep_kinds(calibrate::default_rank_cases(device.layout(), largest_of(options)),
                                       kinds_of(options));
    if (cases.empty()) throw base::InputError("found no case to measure, expected one at least");
    return cases;
  }
  std::vector<calibrate::Case> cases;
  for (const std::string& path : options.traffic) {
    std::string name = std::filesystem::path(path).stem().string();
    for (char& c : name)
      if (c == ' ' || c == '"' || c == '\\') c = '_';
    cases.push_back(calibrate::Case::parse(
        fmt::format("traffic name={} digest={}", name, digest(base::read_text_file(path)))));
    device.set_traffic(cases.back().key(), read_traffic(path, device.layout().ranks()));
  }
  return cases;
}

/// A file that was begun on other hosts does not go on here.
void require_same_hosts(const std::string& path, calibrate::RankDevice& device) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none) || std::filesystem::file_size(path, none) == 0) return;
  const std::map<std::string, std::string> there = calibrate::load_measured(path).facts;
  for (const auto& [key, now] : device.facts()) {
    const auto before = there.find(key);
    if (key != "host_memory_mib" && before != there.end() && before->second != now)
      throw base::InputError(fmt::format("{}: was measured with {} \"{}\", here it is \"{}\"", path, key,
                                         before->second, now),
                             "name another file with -o");
  }
}

int fit_and_write(const CalibrateMpiOptions& options, const std::string& path, Console console) {
  if (options.cluster.empty() && options.profile.empty()) return kOk;
  const calibrate::MeasuredFile measured = calibrate::load_measured(path);
  const std::string name = options.name.empty() ? "measured" : options.name;
  const calibrate::RankFit fit = calibrate::fit_rank_links(measured, name);
  const std::string cluster = calibrate::write_rank_cluster(fit, name, options.base, path);
  if (!options.cluster.empty()) base::write_file_atomically(options.cluster, cluster);
  std::vector<std::string> remarks = fit.remarks;
  if (!options.profile.empty()) {
    sim::ProfileData profile = sim::load_profile(base::resolve_config("profiles", options.base)).data();
    for (const std::string& line : calibrate::fit_rank_profile(profile, measured, fit)) remarks.push_back(line);
    const std::string text = sim::write_profile(
        profile, fmt::format("Made by `moeplan calibrate mpi`: links between nodes measured over MPI; all else is that "
                             "of {}.",
                             options.base));
    sim::parse_profile(text, options.profile);  // what is written can be read
    base::write_file_atomically(options.profile, text);
  }
  if (!options.common.quiet)
    for (const std::string& line : remarks) console.err << line << '\n';
  return kOk;
}

int lead(calibrate::RankDevice& device, calibrate::Clock& clock, const CalibrateMpiOptions& options,
         Console console) {
  const std::vector<calibrate::Case> cases = cases_of(options, device);
  require_same_hosts(options.common.output, device);
  calibrate::StopRule rule;
  rule.precision = options.precision / 100.0;
  rule.batch = rule.warm_up = base::Seconds::from_ms(5);
  rule.budget = base::Seconds::of(1.0);
  std::ostream nothing(nullptr);
  calibrate::ResultFile file(options.common.output);
  file.write_provenance(device.facts(), clock.date());
  const calibrate::SessionResult r =
      calibrate::run_session(device, clock, cases, rule, base::Seconds::of(options.budget_s), file,
                             options.common.quiet ? nothing : console.err);
  device.stop("");
  if (!options.common.quiet) {
    console.err << fmt::format("{} cases measured, {} were there, {} not supported, {} failed, {} left for want of time\n",
                               r.measured, r.done_before, r.unsupported, r.failed, r.left);
    if (r.clock_jumps > 0)
      console.err << fmt::format("the clock went back {} times; times that this spoilt were taken again\n", r.clock_jumps);
  }
  const int status = fit_and_write(options, options.common.output, console);
  return r.failed > 0 ? kInfeasible : status;
}

}  // namespace

int measure_between_ranks(calibrate::Communicator& communicator, calibrate::Clock& clock,
                          const CalibrateMpiOptions& options, Console console) {
  if (communicator.ranks() < 2)
    throw base::InputError("found one rank, expected two at least", "mpirun -n 8 moeplan calibrate mpi ...");
  if (communicator.rank() != 0) {
    const std::string reason = calibrate::serve_rank(communicator);
    if (reason.empty()) return kOk;
    throw base::EnvironmentError(
        fmt::format("rank {} on {}: rank 0 ended the run: {}", communicator.rank(), communicator.host(), reason));
  }
  try {
    calibrate::RankDevice device(communicator, base::Seconds::of(options.longest_s));
    try {
      return lead(device, clock, options, console);
    } catch (const calibrate::DeviceLost&) {
      device.abandon();  // the others cannot be told
      throw;
    } catch (const std::exception& error) {
      device.stop(error.what());
      throw;
    }
  } catch (const calibrate::BadOperation& error) {
    throw base::InputError(error.what());
  }
}

int run_calibrate_mpi(const CalibrateMpiOptions& options, Console console) {
  check_positive("--budget", options.budget_s);
  check_positive("--longest", options.longest_s);
  check_positive("--precision", options.precision);
  check_positive("--timeout", options.timeout_s);
  largest_of(options);
  kinds_of(options);
  if (!options.from.empty()) {
    if (options.cluster.empty() && options.profile.empty())
      throw base::InputError("found nothing to write, expected --write-cluster or --write-profile");
    return fit_and_write(options, options.from, console);
  }
  if (options.common.output.empty())
    throw base::InputError("found nothing to do, expected -o FILE.jsonl", "or --from FILE.jsonl");
  calibrate::SystemClock clock;
  return run_as_rank({options.timeout_s, options.poll_us},
                     "what was measured is kept, run again with the same -o to go on", clock,
                     [&](calibrate::Communicator& communicator) {
                       return measure_between_ranks(communicator, clock, options, console);
                     });
}

}  // namespace moeplan::cli
