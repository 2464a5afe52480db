#include "cli/sweep_command.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <ostream>

#include <fmt/format.h>
#include <unistd.h>

#include "base/diagnostics.h"
#include "base/document.h"
#include "base/files.h"
#include "base/parallel.h"
#include "base/quantity_text.h"
#include "cli/sweep_part.h"
#include "planner/sweep/store.h"
#include "planner/sweep/tables.h"
#include "report/sweep_page.h"

namespace moeplan::cli {

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

std::atomic<bool> g_interrupted{false};

extern "C" void on_interrupt(int) { g_interrupted.store(true); }

/// Interrupts end the sweep between two points while this lives.
class InterruptGuard {
 public:
  InterruptGuard() {
    g_interrupted.store(false);
    struct sigaction action {};
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, &before_int_);
    sigaction(SIGTERM, &action, &before_term_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &before_int_, nullptr);
    sigaction(SIGTERM, &before_term_, nullptr);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  struct sigaction before_int_ {};
  struct sigaction before_term_ {};
};

/// "37 of 1000 points, 12.1 a second, 80 s left": redrawn on a terminal, else a line every half minute.
class Progress {
 public:
  Progress(std::size_t total, bool quiet, std::ostream& err)
      : total_(total), quiet_(quiet), is_terminal_(isatty(STDERR_FILENO) == 1), err_(err) {}
  ~Progress() {
    if (drawn_ && is_terminal_) err_ << '\n';
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void add() {
    const std::lock_guard lock(mutex_);
    ++done_;
    const auto now = Clock::now();
    const double since = std::chrono::duration<double>(now - last_).count();
    if (quiet_ || since < (is_terminal_ ? 0.2 : 30.0)) return;
    last_ = now;
    drawn_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(done_) / seconds;
    err_ << fmt::format("{}{} of {} points, {:.3g} a second, {} left{}", is_terminal_ ? "\r" : "", done_,
                        total_, rate,
                        base::pretty(base::Seconds::of(static_cast<double>(total_ - done_) / rate)),
                        is_terminal_ ? "   " : "\n")
         << std::flush;
  }

 private:
  std::size_t total_, done_ = 0;
  bool quiet_, is_terminal_, drawn_ = false;
  std::ostream& err_;
  std::mutex mutex_;
  Clock::time_point begin_ = Clock::now(), last_ = begin_;
};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// Keys of all points of the sweep. Every input is read, so that no slip of the pen stops a sweep halfway.
std::vector<std::string> keys_of(planner::SweepInputs& inputs,
                                 const std::vector<planner::SweepPoint>& points) {
  std::vector<std::string> keys;
  keys.reserve(points.size());
  bool all_refused = true;
  std::string refusal;
  for (const planner::SweepPoint& point : points) {
    planner::PointInputs read = inputs.resolve(point);
    all_refused = all_refused && !read.refusal.empty();
    if (refusal.empty()) refusal = read.refusal;
    keys.push_back(std::move(read.key));
  }
  if (all_refused)
    throw base::InputError("no point has a plan; the first: " + refusal,
                           "look at the keys of the axes that begin with \"plan.\"");
  return keys;
}

/// Works out the points; those that are finished when an interrupt comes are kept.
void work_out(const planner::SweepSpec& spec, planner::SweepInputs& inputs,
              const std::vector<planner::SweepPoint>& points, const std::vector<std::string>& keys,
              const std::vector<std::size_t>& open, planner::SweepShard& shard, const SweepOptions& options,
              Console console) {
  Progress progress(open.size(), options.common.quiet, console.err);
  base::parallel_for(open.size(), options.common.threads, [&](std::size_t i) {
    if (g_interrupted.load()) return;
    const planner::SweepPoint& point = points[open[i]];
    const auto begin = Clock::now();
    const planner::SweepRow row = planner::evaluate_point(spec, inputs.resolve(point));
    shard.put(keys[open[i]], point, row, std::chrono::duration<double>(Clock::now() - begin).count());
    progress.add();
  });
}

void export_files(const planner::SweepSpec& spec, const planner::SweepResult& result,
                  const std::string& folder) {
  const auto path = [&](const char* name) { return (fs::path(folder) / name).string(); };
  base::write_file_atomically(path("points.csv"), planner::write_sweep_csv(spec, result));
  base::write_file_atomically(path("points.json"), planner::write_sweep_json(spec, result));
  base::write_file_atomically(path("sweep.html"), report::write_sweep_page(spec, result));
}

}  // namespace

int run_sweep(const SweepOptions& options, Console console) {
  const planner::SweepSpec spec = planner::read_sweep(base::load_document(options.file));
  const planner::SweepPart part = find_part(options.part, environment);
  const std::string folder = options.common.output.empty() ? spec.name : options.common.output;
  // Parts of one sweep start together: what the others have begun is no older sweep.
  if (!options.resume && part.count == 1 && planner::has_shards(folder))
    throw base::InputError(fmt::format("{}: holds points of a sweep already", folder),
                           "--resume goes on with them; or name another folder with -o");
  const std::vector<planner::SweepPoint> points = planner::list_points(spec);
  planner::SweepInputs inputs(spec);
  const std::vector<std::string> keys = keys_of(inputs, points);

  const InterruptGuard guard;
  {
    planner::SweepShard shard(planner::shard_path(folder, part), spec);
    const auto before = planner::read_shards(folder, spec, part);
    std::vector<std::size_t> open;
    for (std::size_t i = part.index; i < points.size(); i += part.count) {
      if (before.find(keys[i]) == before.end()) open.push_back(i);
    }
    work_out(spec, inputs, points, keys, open, shard, options, console);
    shard.finish();
  }
  const auto rows = planner::read_shards(folder, spec, part);
  planner::SweepResult result{points, {}};
  for (const std::string& key : keys) {
    if (const auto row = rows.find(key); row != rows.end()) result.rows.push_back(row->second);
  }
  if (g_interrupted.load()) {
    console.err << fmt::format("interrupted: {} of {} points are kept; go on with --resume\n",
                               result.rows.size(), points.size());
    return kInterrupted;
  }
  if (result.rows.size() < points.size()) {
    if (!options.common.quiet)
      console.err << fmt::format(
          "part {} of {} is done; {} of {} points are there, the part that ends last writes the results\n",
          part.index, part.count, result.rows.size(), points.size());
    return kOk;
  }
  export_files(spec, result, folder);
  console.out << (options.common.json ? planner::write_sweep_json(spec, result)
                                      : planner::describe_sweep(spec, result));
  if (!options.common.quiet)
    console.err << fmt::format("wrote {0}/points.csv, {0}/points.json, {0}/sweep.html\n", folder);
  return kOk;
}

}  // namespace moeplan::cli
