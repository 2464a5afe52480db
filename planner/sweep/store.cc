#include "planner/sweep/store.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <mutex>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sqlite3.h>

#include "base/diagnostics.h"
#include "base/files.h"

namespace moeplan::planner {

namespace fs = std::filesystem;

namespace {

constexpr int kBusyMs = 60'000;

std::string quoted(const std::string& name) {
  std::string text = "\"";
  for (const char c : name) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

/// A connection; every failure names the file.
class Database {
 public:
  explicit Database(std::string path) : path_(std::move(path)) {
    if (sqlite3_open(path_.c_str(), &handle_) != SQLITE_OK) {
      const std::string reason = handle_ != nullptr ? sqlite3_errmsg(handle_) : "no memory";
      sqlite3_close(handle_);
      throw base::EnvironmentError(fmt::format("{}: {}", path_, reason));
    }
    sqlite3_busy_timeout(handle_, kBusyMs);
  }
  ~Database() { sqlite3_close(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void run(const std::string& sql) {
    if (sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail();
  }
  [[noreturn]] void fail() const {
    throw base::EnvironmentError(fmt::format("{}: {}; delete this shard to work its points out again", path_,
                                             sqlite3_errmsg(handle_)));
  }
  sqlite3* handle() const { return handle_; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  sqlite3* handle_ = nullptr;
};

class Statement {
 public:
  Statement(Database& database, const std::string& sql) : database_(database) {
    if (sqlite3_prepare_v2(database.handle(), sql.c_str(), -1, &handle_, nullptr) != SQLITE_OK)
      database.fail();
  }
  ~Statement() { sqlite3_finalize(handle_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(int index, const std::string& text) {
    check(sqlite3_bind_text(handle_, index, text.c_str(), static_cast<int>(text.size()), SQLITE_TRANSIENT));
  }
  void bind(int index, double value) {
    check(std::isnan(value) ? sqlite3_bind_null(handle_, index) : sqlite3_bind_double(handle_, index, value));
  }
  /// True where there is a row.
  bool step() {
    const int code = sqlite3_step(handle_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) database_.fail();
    return code == SQLITE_ROW;
  }
  void reset() { sqlite3_reset(handle_); }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
    return bytes != nullptr
               ? std::string(bytes, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column)))
               : std::string();
  }
  double number(int column) const {
    if (sqlite3_column_type(handle_, column) == SQLITE_NULL) return std::numeric_limits<double>::quiet_NaN();
    return sqlite3_column_double(handle_, column);
  }

 private:
  void check(int code) {
    if (code != SQLITE_OK) database_.fail();
  }
  Database& database_;
  sqlite3_stmt* handle_ = nullptr;
};

/// Columns of the table behind key and point: varied keys, then status, reason, plan, seconds, then figures.
std::vector<std::string> key_columns(const SweepSpec& spec) {
  std::vector<std::string> columns;
  for (const SweepKey* key : spec.keys()) columns.push_back("at " + key->name);
  return columns;
}

/// What makes two shards one sweep's: the columns.
std::string layout_of(const SweepSpec& spec) {
  return fmt::format("moeplan.sweep/1; {}; {}", fmt::join(key_columns(spec), ", "),
                     fmt::join(sweep_columns(spec.verb), ", "));
}

void require_layout(Database& database, const SweepSpec& spec) {
  Statement query(database, "SELECT value FROM about WHERE name = 'layout'");
  const std::string found = query.step() ? query.text(0) : "";
  if (found == layout_of(spec)) return;
  throw base::InputError(
      fmt::format("{}: holds points of a sweep with other axes or of another version", database.path()),
      "name a new folder with -o");
}

}  // namespace

std::string shard_path(const std::string& folder, const SweepPart& part) {
  return (fs::path(folder) / "shards" / fmt::format("part-{}-of-{}.sqlite", part.index, part.count)).string();
}

struct SweepShard::State {
  State(const std::string& path, const SweepSpec& sweep) : spec(sweep), database(path) {}
  const SweepSpec& spec;
  Database database;
  std::unique_ptr<Statement> insert;
  std::mutex mutex;
};

SweepShard::SweepShard(const std::string& path, const SweepSpec& spec) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  if (error)
    throw base::EnvironmentError(
        fmt::format("{}: cannot be made: {}", fs::path(path).parent_path().string(), error.message()));
  state_ = std::make_unique<State>(path, spec);
  Database& database = state_->database;
  database.run("PRAGMA journal_mode=WAL");
  database.run("PRAGMA synchronous=FULL");
  std::string columns = "key TEXT PRIMARY KEY, point INTEGER";
  std::string marks = "?, ?";
  for (const std::string& column : key_columns(spec))
    columns += ", " + quoted(column) + " TEXT", marks += ", ?";
  for (const char* column : {"status TEXT", "reason TEXT", "plan TEXT", "seconds REAL"})
    columns += fmt::format(", {}", column), marks += ", ?";
  for (const std::string& column : sweep_columns(spec.verb))
    columns += ", " + quoted(column) + " REAL", marks += ", ?";
  database.run("BEGIN IMMEDIATE");
  database.run("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT)");
  {
    Statement about(database, "INSERT OR IGNORE INTO about VALUES ('layout', ?)");
    about.bind(1, layout_of(spec));
    about.step();
  }
  require_layout(database, spec);
  database.run(fmt::format("CREATE TABLE IF NOT EXISTS points ({})", columns));
  database.run("COMMIT");
  state_->insert =
      std::make_unique<Statement>(database, fmt::format("INSERT OR REPLACE INTO points VALUES ({})", marks));
}

SweepShard::~SweepShard() = default;

void SweepShard::put(const std::string& key, const SweepPoint& point, const SweepRow& row, double seconds) {
  const std::lock_guard lock(state_->mutex);
  Statement& insert = *state_->insert;
  int index = 0;
  insert.bind(++index, key);
  insert.bind(++index, static_cast<double>(point.number));
  for (const std::string& text : point_texts(state_->spec, point)) insert.bind(++index, text);
  for (const std::string* text : {&row.status, &row.reason, &row.plan}) insert.bind(++index, *text);
  insert.bind(++index, seconds);
  for (const double figure : row.figures) insert.bind(++index, figure);
  insert.step();
  insert.reset();
}

void SweepShard::finish() {
  const std::lock_guard lock(state_->mutex);
  state_->insert.reset();
  state_->database.run("PRAGMA journal_mode=DELETE");
}

bool has_shards(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "shards", error)) {
    if (entry.path().extension() == ".sqlite") return true;
  }
  return false;
}

std::map<std::string, SweepRow> read_shards(const std::string& folder, const SweepSpec& spec,
                                            const SweepPart& own) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(fs::path(folder) / "shards", error)) {
    if (entry.path().extension() == ".sqlite") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  const std::string mine = shard_path(folder, own);
  const std::string siblings = fmt::format("-of-{}.sqlite", own.count);
  std::map<std::string, SweepRow> rows;
  for (const std::string& file : files) {
    const bool is_sibling =
        fs::path(file) != fs::path(mine) && file.size() > siblings.size() && file.ends_with(siblings);
    if (is_sibling && fs::exists(file + "-wal")) continue;  // its process writes, perhaps on another host
    if (fs::file_size(file, error) == 0) continue;          // made, and nothing committed yet
    Database database(file);
    Statement tables(database, "SELECT name FROM sqlite_master WHERE name = 'points'");
    if (!tables.step()) continue;  // just being made
    require_layout(database, spec);
    const auto columns = static_cast<int>(sweep_columns(spec.verb).size());
    const int first = 2 + static_cast<int>(spec.keys().size());
    Statement query(database, "SELECT * FROM points");
    while (query.step()) {
      SweepRow row{query.text(first), query.text(first + 1), query.text(first + 2), {}};
      for (int i = 0; i < columns; ++i) row.figures.push_back(query.number(first + 4 + i));
      rows.emplace(query.text(0), std::move(row));
    }
  }
  return rows;
}

}  // namespace moeplan::planner
