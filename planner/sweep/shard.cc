#include "planner/sweep/shard.h"

#include <array>
#include <thread>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/files.h"
#include "base/quantity_text.h"

namespace moeplan::sweep {

namespace {

// "moep": tells a shard from another SQLite file.
constexpr std::int64_t kApplication = 0x6D6F6570;
constexpr std::int64_t kVersion = 1;
constexpr std::chrono::milliseconds kRetry{20};

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
  throw base::InputError(
      {base::Diagnostic{path, {}, "", what, "remove the file: its points are computed again"}});
}

[[noreturn]] void rethrow(const std::string& path, const DatabaseError& error) {
  if (error.kind() == DatabaseError::Kind::kCorrupt)
    refuse(path, fmt::format("is no sound shard of a sweep: {}", error.what()));
  throw base::EnvironmentError(
      fmt::format("{}: {}; points that were finished are kept, --resume goes on", path, error.what()));
}

std::int64_t pragma(Database& database, const char* name) {
  Statement statement = database.prepare(fmt::format("PRAGMA {}", name));
  return statement.step() ? statement.integer(0) : 0;
}

/// Makes the tables of a new file; refuses the file of another program or version.
void prepare(Database& database, const std::string& path) {
  const std::int64_t application = pragma(database, "application_id");
  const std::int64_t version = pragma(database, "user_version");
  if (application == kApplication && version == kVersion) return;
  Statement tables = database.prepare("SELECT count(*) FROM sqlite_master");
  tables.step();
  const bool is_new = application == 0 && version == 0 && tables.integer(0) == 0;
  tables.reset();
  if (!is_new) refuse(path, "is no shard of a sweep that this moeplan can read");
  database.execute(
      fmt::format("BEGIN;"
                  "CREATE TABLE sweep (name TEXT NOT NULL, digest TEXT NOT NULL);"
                  "CREATE TABLE points (key TEXT PRIMARY KEY, status TEXT NOT NULL, reason TEXT NOT NULL, "
                  "plan TEXT NOT NULL,"
                  " plan_yaml TEXT NOT NULL, figures TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;"
                  "PRAGMA application_id = {};"
                  "PRAGMA user_version = {};"
                  "COMMIT",
                  kApplication, kVersion));
}

/// "step_time_s=0.1835", a line a figure: the shortest texts that read back to the same values.
std::string write_figures(const std::map<std::string, double>& figures) {
  std::string text;
  for (const auto& [name, value] : figures) text += fmt::format("{}={}\n", name, value);
  return text;
}

bool read_figures(const std::string& text, std::map<std::string, double>& figures) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::size_t equals = text.find('=', at);
    if (end == std::string::npos || equals == std::string::npos || equals > end) return false;
    const auto value = base::parse_number(std::string_view(text).substr(equals + 1, end - equals - 1));
    if (!value) return false;
    figures[text.substr(at, equals - at)] = *value;
    at = end + 1;
  }
  return true;
}

std::optional<PointStatus> find_status(const std::string& word) {
  for (const PointStatus status : {PointStatus::kOk, PointStatus::kInfeasible, PointStatus::kRefused}) {
    if (word == name(status)) return status;
  }
  return std::nullopt;
}

constexpr int kContentColumns = 6;  // key to figures

std::string row_digest(const std::array<std::string, kContentColumns>& row) {
  base::Digest digest;
  for (const std::string& cell : row) digest.add(fmt::format("{}:{},", cell.size(), cell));
  return digest.hex();
}

}  // namespace

std::string shard_name(const Part& part) {
  return fmt::format("part-{:04}-of-{:04}.sqlite", part.index + 1, part.count);
}

Shard::Shard(std::string path, std::unique_ptr<Database> database)
    : path_(std::move(path)), database_(std::move(database)) {}

template <class Work>
auto Shard::guarded(const Work& work) {
  try {
    return work();
  } catch (const DatabaseError& error) {
    rethrow(path_, error);
  }
}

std::optional<Shard> Shard::try_open(const std::string& path) {
  try {
    auto database = std::make_unique<Database>(path, Database::Mode::kWriteAheadLog);
    prepare(*database, path);
    return Shard(path, std::move(database));
  } catch (const DatabaseError& error) {
    if (error.kind() != DatabaseError::Kind::kBusy) rethrow(path, error);
    return std::nullopt;
  }
}

std::optional<Shard> Shard::open(const std::string& path, std::chrono::milliseconds wait) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    if (auto shard = try_open(path)) return shard;
    if (std::chrono::steady_clock::now() - start >= wait) return std::nullopt;
    std::this_thread::sleep_for(kRetry);
  }
}

std::optional<SweepIdentity> Shard::identity() {
  return guarded([&]() -> std::optional<SweepIdentity> {
    Statement row = database_->prepare("SELECT name, digest FROM sweep");
    if (!row.step()) return std::nullopt;
    return SweepIdentity{row.text(0), row.text(1)};
  });
}

void Shard::set_identity(const SweepIdentity& identity) {
  guarded([&] {
    database_->execute("BEGIN");
    database_->execute("DELETE FROM sweep");
    {
      Statement row = database_->prepare("INSERT INTO sweep VALUES (?, ?)");
      row.bind(1, identity.name);
      row.bind(2, identity.digest);
      row.step();
    }
    database_->execute("COMMIT");
  });
}

std::vector<StoredPoint> Shard::points() {
  return guarded([&] {
    std::vector<StoredPoint> points;
    Statement rows = database_->prepare(
        "SELECT key, status, reason, plan, plan_yaml, figures, digest FROM points ORDER BY key");
    while (rows.step()) {
      std::array<std::string, kContentColumns> cells;
      for (int c = 0; c < kContentColumns; ++c) cells[static_cast<std::size_t>(c)] = rows.text(c);
      StoredPoint point;
      const auto status = find_status(cells[1]);
      if (!status || row_digest(cells) != rows.text(kContentColumns) ||
          !read_figures(cells[5], point.result.figures))
        refuse(path_, fmt::format("the row of point {} is not what was written", base::excerpt(cells[0])));
      point.key = cells[0];
      point.result.status = *status;
      point.result.reason = cells[2];
      point.result.plan = cells[3];
      point.result.plan_yaml = cells[4];
      points.push_back(std::move(point));
    }
    return points;
  });
}

void Shard::put(const std::vector<StoredPoint>& points) {
  guarded([&] {
    database_->execute("BEGIN");
    {
      Statement row = database_->prepare("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?, ?, ?)");
      for (const StoredPoint& point : points) {
        const std::array<std::string, kContentColumns> cells = {point.key,
                                                                std::string(name(point.result.status)),
                                                                point.result.reason,
                                                                point.result.plan,
                                                                point.result.plan_yaml,
                                                                write_figures(point.result.figures)};
        for (int c = 0; c < kContentColumns; ++c) row.bind(c + 1, cells[static_cast<std::size_t>(c)]);
        row.bind(kContentColumns + 1, row_digest(cells));
        row.step();
      }
    }
    database_->execute("COMMIT");
  });
}

}  // namespace moeplan::sweep
