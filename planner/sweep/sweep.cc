#include "planner/sweep/sweep.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "base/node_path.h"
#include "base/parallel.h"
#include "planner/sweep/point_runner.h"
#include "planner/sweep/result_writer.h"

namespace moeplan::sweep {

namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// For a process that looks into a shard: it is done in less.
constexpr milliseconds kPatience{10'000};

// A program with debug information has hundreds of megabytes, which a byte-wise digest would take seconds
// for.
constexpr std::size_t kFingerprintWords = 1 << 17;
constexpr std::uint64_t kFingerprintPrime = 0x9E3779B185EBCA87;  // odd, about 2^64 / the golden ratio

SweepIdentity identify(const base::Document& document, const SweepSpec& spec) {
  base::Digest digest;
  for (const char* key : {"verb", "base", "options", "axes", "exclude"}) {
    const base::Node* node = document.root.find(key);
    digest.add(fmt::format("{}:{};", key, node == nullptr ? "" : base::canonical_text(*node)));
  }
  return {spec.name, digest.hex()};
}

/// Shards of a folder, sorted.
std::vector<fs::path> find_shards(const std::string& folder) {
  std::vector<fs::path> shards;
  std::error_code code;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(folder) / "shards", code)) {
    if (entry.path().extension() == ".sqlite") shards.push_back(entry.path());
  }
  std::sort(shards.begin(), shards.end());
  return shards;
}

/// Does the file belong to another part of the same division? Such a part may be at work.
bool is_sibling(const fs::path& shard, const Part& part) {
  return shard.filename().string().ends_with(fmt::format("-of-{:04}.sqlite", part.count)) &&
         shard.filename() != shard_name(part);
}

[[noreturn]] void refuse_folder(const std::string& folder, const std::optional<SweepIdentity>& theirs,
                                const SweepIdentity& mine, std::size_t points) {
  const bool same = !theirs || theirs->digest == mine.digest;
  const std::string what = same ? fmt::format("{}: holds {} finished points of this sweep", folder, points)
                                : fmt::format("{}: holds {} finished points of another sweep, \"{}\"", folder,
                                              points, theirs->name);
  throw base::InputError(
      what, same ? "--resume goes on with it; -o names another folder"
                 : "-o names another folder; --resume keeps this one, and takes what it holds of "
                   "the same points");
}

/// One run of a part.
class PartRun {
 public:
  PartRun(const Sweep& sweep, const RunOptions& options) : sweep_(sweep), options_(options) {}

  RunResult run() {
    std::error_code code;
    const fs::path shards = fs::path(options_.folder) / "shards";
    fs::create_directories(shards, code);
    if (code)
      throw base::EnvironmentError(fmt::format("{}: cannot be made: {}", shards.string(), code.message()));
    find_finished();
    open_own();
    compute();
    return result_;
  }

 private:
  /// Results that other shards hold: of another division into parts, or of parts that are not at work now.
  void find_finished() {
    for (const fs::path& path : find_shards(options_.folder)) {
      if (path.filename() == shard_name(options_.part)) continue;
      const bool sibling = is_sibling(path, options_.part);
      auto shard = Shard::open(path.string(), sibling ? milliseconds(0) : kPatience);
      if (!shard && sibling) continue;
      if (!shard)
        throw base::EnvironmentError(fmt::format(
            "{}: another process works on this folder, with another number of parts", path.string()));
      const auto theirs = shard->identity();
      const bool foreign = theirs && theirs->digest != sweep_.identity().digest;
      const std::vector<StoredPoint> points = shard->points();
      if (!options_.resume && (foreign || !sibling) && !points.empty())
        refuse_folder(options_.folder, theirs, sweep_.identity(), points.size());
      for (const StoredPoint& point : points) known_.emplace(point.key, false);
    }
  }

  void open_own() {
    const std::string path = (fs::path(options_.folder) / "shards" / shard_name(options_.part)).string();
    own_ = Shard::open(path, kPatience);
    if (!own_) throw base::EnvironmentError(fmt::format("{}: another process works on this part", path));
    const std::vector<StoredPoint> points = own_->points();
    if (!options_.resume && !points.empty())
      refuse_folder(options_.folder, own_->identity(), sweep_.identity(), points.size());
    for (const StoredPoint& point : points) known_.emplace(point.key, false);
    if (own_->identity() != sweep_.identity()) own_->set_identity(sweep_.identity());
  }

  void compute() {
    std::vector<std::size_t> todo;
    for (std::size_t point = 0; point < sweep_.grid().size(); ++point) {
      const auto known = known_.find(sweep_.key(point));
      if (known != known_.end()) known->second = true;
      if (!options_.part.holds(point)) continue;
      ++result_.progress.total;
      if (known == known_.end()) todo.push_back(point);
    }
    result_.progress.found = result_.progress.total - todo.size();
    result_.progress.done = result_.progress.found;
    for (const auto& [key, used] : known_) result_.unused += used ? 0 : 1;
    tell();
    run_points(todo);
    result_.stopped = result_.progress.done < result_.progress.total;
  }

  void run_points(const std::vector<std::size_t>& todo) {
    const int machine = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
    const int threads = std::min(options_.threads > 0 ? options_.threads : machine,
                                 static_cast<int>(std::max<std::size_t>(1, todo.size())));
    std::atomic<std::size_t> next{0};
    std::atomic<bool> failed{false};
    ResultWriter writer(*own_, [&](std::size_t written) {
      result_.progress.done += written;
      tell();
    });
    base::parallel_for(static_cast<std::size_t>(threads), threads, [&](std::size_t) {
      PointRunner runner(sweep_.inputs(), sweep_.spec().verb);
      try {
        for (std::size_t i = next++; i < todo.size() && !failed; i = next++) {
          if (options_.stop && options_.stop()) return;
          if (!writer.put({sweep_.key(todo[i]), compute_point(runner, todo[i])})) return;
        }
      } catch (...) {
        failed = true;  // the others need not go on
        throw;
      }
    });
    writer.finish();
  }

  /// A bug in a point is told with the point, so that it can be seen again.
  PointResult compute_point(PointRunner& runner, std::size_t point) const {
    try {
      return runner.run(point);
    } catch (const base::InternalError& error) {
      std::string setting;
      const std::vector<std::size_t> values = sweep_.grid().values(point);
      for (std::size_t a = 0; a < values.size(); ++a) {
        const Axis& axis = sweep_.spec().axes[a];
        setting += fmt::format("{}{} = {}", a > 0 ? ", " : "", axis.path, axis.values[values[a]].label);
      }
      throw base::InternalError(fmt::format("point {} ({}): {}", point + 1, setting, error.what()));
    }
  }

  void tell() {
    if (options_.on_progress) options_.on_progress(result_.progress);
  }

  const Sweep& sweep_;
  const RunOptions& options_;
  std::map<std::string, bool> known_;  // key of a finished point -> is it of this sweep?
  std::optional<Shard> own_;
  RunResult result_;
};

}  // namespace

Sweep::Sweep(const base::Document& document, const std::string& program)
    : spec_(read_sweep(document)), grid_(spec_), inputs_(spec_, grid_), identity_(identify(document, spec_)) {
  keys_.reserve(grid_.size());
  for (std::size_t point = 0; point < grid_.size(); ++point) keys_.push_back(inputs_.key(point, program));
}

std::string program_fingerprint() {
  std::ifstream file("/proc/self/exe", std::ios::binary);
  std::vector<std::uint64_t> words(kFingerprintWords);
  std::uint64_t value = 0;
  std::streamsize bytes = 1;
  while (file && bytes > 0) {
    std::fill(words.begin(), words.end(), 0);
    file.read(reinterpret_cast<char*>(words.data()),
              static_cast<std::streamsize>(words.size() * sizeof(std::uint64_t)));
    bytes = file.gcount();
    // Each step is a bijection of `value`, so that files which differ in one word differ in the end.
    for (const std::uint64_t word : words) value = std::rotl((value ^ word) * kFingerprintPrime, 29);
  }
  if (!file.eof())
    throw base::EnvironmentError("/proc/self/exe: cannot be read, expected the running program");
  return fmt::format("{} {:016x}", base::version(), value);
}

RunResult run_part(const Sweep& sweep, const RunOptions& options) { return PartRun(sweep, options).run(); }

Collected collect(const Sweep& sweep, const std::string& folder, milliseconds wait) {
  Collected collected;
  collected.rows.resize(sweep.grid().size());
  std::multimap<std::string, std::size_t> wanted;  // points may share all inputs
  for (std::size_t point = 0; point < sweep.grid().size(); ++point) wanted.emplace(sweep.key(point), point);
  for (const fs::path& path : find_shards(folder)) {
    auto shard = Shard::open(path.string(), wait);
    if (!shard) {
      collected.busy.push_back(path.string());
      continue;
    }
    for (StoredPoint& stored : shard->points()) {
      const auto [begin, end] = wanted.equal_range(stored.key);
      if (begin == end) ++collected.unused;
      for (auto point = begin; point != end; ++point) {
        if (!collected.rows[point->second]) ++collected.finished;
        collected.rows[point->second] = stored.result;
      }
    }
  }
  return collected;
}

}  // namespace moeplan::sweep
