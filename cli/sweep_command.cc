#include "cli/sweep_command.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/json_writer.h"
#include "cli/sweep_parts.h"
#include "cli/sweep_progress.h"
#include "report/sweep_page.h"
#include "planner/sweep/export.h"
#include "planner/sweep/sweep.h"

namespace moeplan::cli {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// A rank that has ended, or not begun, while others are done for so long will not come.
constexpr std::chrono::seconds kLostRank{60};
constexpr milliseconds kPoll{250};
// For a process that looks into a shard.
constexpr milliseconds kPatience{5000};

std::atomic<bool> g_stop_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set in a signal handler");

extern "C" void ask_to_stop(int) { g_stop_asked = true; }

/// While it lives, the first SIGINT or SIGTERM sets g_stop_asked; a second one ends the process, which loses
/// nothing but the points at work.
class StopSignals {
 public:
  StopSignals() {
    g_stop_asked = false;
    struct sigaction action {};
    action.sa_handler = ask_to_stop;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, &old_interrupt_);
    sigaction(SIGTERM, &action, &old_terminate_);
  }
  ~StopSignals() {
    sigaction(SIGINT, &old_interrupt_, nullptr);
    sigaction(SIGTERM, &old_terminate_, nullptr);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  struct sigaction old_interrupt_ {};
  struct sigaction old_terminate_ {};
};

/// One process at a time writes the tables of a folder; the lock ends with its process.
class ExportLock {
 public:
  explicit ExportLock(const std::string& folder) {
    const std::string path = (fs::path(folder) / "shards" / "export.lock").string();
    file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    int status = -1;
    do {
      status = file_ < 0 ? -1 : ::fcntl(file_, F_SETLKW, &lock);
    } while (status < 0 && file_ >= 0 && errno == EINTR);
    if (status < 0) {
      const std::string reason = std::strerror(errno);
      if (file_ >= 0) ::close(file_);
      throw base::EnvironmentError(fmt::format("{}: cannot be locked: {}", path, reason));
    }
  }
  ~ExportLock() { ::close(file_); }
  ExportLock(const ExportLock&) = delete;
  ExportLock& operator=(const ExportLock&) = delete;

 private:
  int file_ = -1;
};

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  return value;
}

std::string folder_of(const SweepOptions& options) {
  if (!options.common.output.empty()) return options.common.output;
  return fs::path(options.file).stem().string() + ".sweep";
}

/// Found plans, a file a point; those of a sweep that the folder held before are removed.
void write_plans(const sweep::Sweep& sweep, const sweep::Collected& results, const std::string& folder) {
  if (sweep.spec().verb != sweep::Verb::kPlan) return;
  const fs::path plans = fs::path(folder) / "plans";
  std::error_code code;
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(plans, code)) {
    if (entry.path().filename().string().starts_with("point-")) old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove(path, code);
  for (std::size_t point = 0; point < results.rows.size(); ++point) {
    const auto& row = results.rows[point];
    if (!row || row->plan_yaml.empty()) continue;
    base::write_file_atomically((plans / fmt::format("point-{}.yaml", point + 1)).string(), row->plan_yaml);
  }
}

report::Inputs describe(const sweep::Sweep& sweep) {
  report::Inputs inputs{{"sweep", sweep.spec().file}, {"verb", std::string(name(sweep.spec().verb))}};
  for (const auto& [kind, path] : sweep.inputs().sources()) inputs.emplace_back(kind, path);
  return inputs;
}

/// All that a folder gets beside its shards.
void write_tables(const sweep::Sweep& sweep, const sweep::Collected& results, const std::string& folder) {
  const ExportLock lock(folder);
  const auto in = [&](const char* name) { return (fs::path(folder) / name).string(); };
  base::write_file_atomically(in("points.csv"), sweep::write_points_csv(sweep, results));
  base::write_file_atomically(in("points.json"), sweep::write_points_json(sweep, results));
  sweep::write_points_database(sweep, results, in("points.sqlite"));
  base::write_file_atomically(in("report.html"), report::write_sweep_page(describe(sweep), sweep, results));
  write_plans(sweep, results, folder);
}

int print_points(const sweep::Sweep& sweep, Console console) {
  const sweep::SweepSpec& spec = sweep.spec();
  console.out << "point";
  for (const sweep::Axis& axis : spec.axes) console.out << ',' << base::csv_cell(axis.path);
  console.out << '\n';
  for (std::size_t point = 0; point < sweep.grid().size(); ++point) {
    console.out << point + 1;
    const std::vector<std::size_t> values = sweep.grid().values(point);
    for (std::size_t a = 0; a < spec.axes.size(); ++a)
      console.out << ',' << base::csv_cell(spec.axes[a].values[values[a]].label);
    console.out << '\n';
  }
  return kOk;
}

/// One call of the verb.
class SweepCall {
 public:
  SweepCall(const SweepOptions& options, Console console)
      : options_(options),
        console_(console),
        folder_(folder_of(options)),
        sweep_(base::load_document(options.file), sweep::program_fingerprint()) {}

  int run() {
    if (options_.list) return print_points(sweep_, console_);
    if (options_.only_export) return export_finished();
    share_ = find_sweep_share(options_.part, environment);
    const StopSignals signals;
    const sweep::RunResult result = compute();
    if (result.stopped) return end_stopped(result);
    if (share_.rank != 0) return kOk;  // rank 0 tells what came out
    return share_.ranks > 1 ? wait_for_ranks() : finish(sweep::collect(sweep_, folder_, kPatience));
  }

 private:
  bool is_quiet() const { return options_.common.quiet || share_.rank != 0; }

  void remark(const std::string& text) const {
    if (!is_quiet()) console_.err << text << '\n';
  }

  void tell_unused(std::size_t rows) const {
    if (rows > 0)
      remark(fmt::format("{} points in {} are of other inputs, options or another build, and are not used",
                         rows, folder_));
  }

  sweep::RunResult compute() {
    const bool terminal = ::isatty(STDERR_FILENO) == 1;
    SweepProgress progress(console_.err, terminal);
    sweep::RunOptions run;
    run.folder = folder_;
    run.resume = options_.resume;
    run.part = share_.part;
    // Ranks of a launcher share machines.
    run.threads = options_.common.threads == 0 && share_.ranks > 1 ? 1 : options_.common.threads;
    run.stop = [] { return g_stop_asked.load(); };
    if (!is_quiet() && (terminal || options_.progress))
      run.on_progress = [&](const sweep::Progress& p) { progress.show(p); };
    const sweep::RunResult result = sweep::run_part(sweep_, run);
    progress.finish();
    const double seconds = progress.elapsed().count();
    const std::size_t computed = result.progress.done - result.progress.found;
    remark(fmt::format("{} points computed in {:.1f} s, {} were there", computed, seconds,
                       result.progress.found));
    tell_unused(result.unused);
    if (!options_.common.stats.empty()) write_stats(result, seconds);
    return result;
  }

  void write_stats(const sweep::RunResult& result, double seconds) const {
    const std::size_t computed = result.progress.done - result.progress.found;
    base::JsonWriter json;
    json.begin_object();
    json.field("seconds", seconds);
    json.field("computed", static_cast<std::int64_t>(computed));
    json.field("found", static_cast<std::int64_t>(result.progress.found));
    json.field("points_per_s", static_cast<double>(computed) / seconds);
    json.end_object();
    base::write_file_atomically(options_.common.stats, json.text());
  }

  int end_stopped(const sweep::RunResult& result) const {
    // Alone, the tables can hold what is finished; else other parts are at work.
    if (share_.part.count == 1) write_tables(sweep_, sweep::collect(sweep_, folder_, kPatience), folder_);
    if (share_.rank == 0)
      console_.err << fmt::format("interrupted: {} of {} points are finished; --resume goes on in {}\n",
                                  result.progress.done, result.progress.total, folder_);
    return kInterrupted;
  }

  /// Are all points there of the ranks that were started with this one?
  bool are_ranks_done(const sweep::Collected& results) const {
    const std::size_t first = share_.part.index - share_.rank;
    for (std::size_t point = 0; point < results.rows.size(); ++point) {
      const std::size_t owner = point % share_.part.count;
      if (!results.rows[point] && owner >= first && owner < first + share_.ranks) return false;
    }
    return true;
  }

  int wait_for_ranks() {
    auto last_sign = std::chrono::steady_clock::now();
    std::size_t finished = 0;
    while (true) {
      const sweep::Collected results = sweep::collect(sweep_, folder_, milliseconds(0));
      if (are_ranks_done(results)) return finish(results);
      const auto now = std::chrono::steady_clock::now();
      if (!results.busy.empty() || results.finished != finished) last_sign = now;
      finished = results.finished;
      if (g_stop_asked) {
        console_.err << fmt::format("interrupted; --resume goes on in {}\n", folder_);
        return kInterrupted;
      }
      if (now - last_sign > kLostRank)
        throw base::EnvironmentError(
            fmt::format("a rank has ended before its points: {} of {} are finished; --resume goes on in {}",
                        results.finished, results.rows.size(), folder_));
      std::this_thread::sleep_for(kPoll);
    }
  }

  int finish(const sweep::Collected& results) const {
    if (!results.is_complete()) {
      remark(fmt::format(
          "{} of {} points are finished in {}: other parts are at work or have not begun; the last one "
          "writes the tables, as does --export",
          results.finished, results.rows.size(), folder_));
      return kOk;
    }
    write_tables(sweep_, results, folder_);
    return tell(results);
  }

  int export_finished() const {
    if (!fs::is_directory(fs::path(folder_) / "shards"))
      throw base::InputError(fmt::format("{}: holds no results of a sweep", folder_), "-o names the folder");
    const sweep::Collected results = sweep::collect(sweep_, folder_, kPatience);
    for (const std::string& shard : results.busy)
      console_.err << fmt::format("{}: a process has it open, left out\n", shard);
    tell_unused(results.unused);
    write_tables(sweep_, results, folder_);
    return tell(results);
  }

  int tell(const sweep::Collected& results) const {
    console_.out << (options_.common.json ? sweep::write_points_json(sweep_, results)
                                          : sweep::write_summary(sweep_, results));
    const bool any = std::any_of(results.rows.begin(), results.rows.end(), [](const auto& row) {
      return row && row->status == sweep::PointStatus::kOk;
    });
    return any ? kOk : kInfeasible;
  }

  const SweepOptions& options_;
  Console console_;
  std::string folder_;
  sweep::Sweep sweep_;
  SweepShare share_;
};

}  // namespace

int run_sweep(const SweepOptions& options, Console console) { return SweepCall(options, console).run(); }

}  // namespace moeplan::cli
