#include "planner/sweep/database.h"

#include <sqlite3.h>

#include <fmt/format.h>

namespace moeplan::sweep {

namespace {

[[noreturn]] void fail(sqlite3* handle, int code) {
  const int primary = code & 0xFF;
  DatabaseError::Kind kind = DatabaseError::Kind::kOther;
  if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED) kind = DatabaseError::Kind::kBusy;
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) kind = DatabaseError::Kind::kCorrupt;
  throw DatabaseError(kind, handle != nullptr ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
}

void check(sqlite3* handle, int code) {
  if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW) fail(handle, code);
}

}  // namespace

struct Statement::State {
  sqlite3* database = nullptr;
  sqlite3_stmt* handle = nullptr;
  ~State() { sqlite3_finalize(handle); }
};

Statement::Statement(std::unique_ptr<State> state) : state_(std::move(state)) {}
Statement::Statement(Statement&&) noexcept = default;
Statement::~Statement() = default;

void Statement::bind(int parameter, const std::string& text) {
  check(state_->database, sqlite3_bind_text64(state_->handle, parameter, text.data(), text.size(),
                                              SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::bind(int parameter, std::int64_t number) {
  check(state_->database, sqlite3_bind_int64(state_->handle, parameter, number));
}

void Statement::bind(int parameter, std::optional<double> number) {
  check(state_->database, number ? sqlite3_bind_double(state_->handle, parameter, *number)
                                 : sqlite3_bind_null(state_->handle, parameter));
}

bool Statement::step() {
  const int code = sqlite3_step(state_->handle);
  if (code == SQLITE_ROW) return true;
  reset();
  check(state_->database, code);
  return false;
}

void Statement::reset() { sqlite3_reset(state_->handle); }

std::string Statement::text(int column) const {
  const auto* begin = sqlite3_column_text(state_->handle, column);
  if (begin == nullptr) return "";
  const int bytes = sqlite3_column_bytes(state_->handle, column);
  return {reinterpret_cast<const char*>(begin), static_cast<std::size_t>(bytes)};
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(state_->handle, column); }

struct Database::State {
  sqlite3* handle = nullptr;
  ~State() { sqlite3_close(handle); }
};

Database::Database(const std::string& path, Mode mode) : state_(std::make_unique<State>()) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &state_->handle, flags, nullptr);
  if (code != SQLITE_OK) fail(state_->handle, code);
  sqlite3_extended_result_codes(state_->handle, 1);
  execute("PRAGMA locking_mode = EXCLUSIVE");
  if (mode == Mode::kWriteAheadLog) {
    Statement journal = prepare("PRAGMA journal_mode = WAL");
    const bool is_wal = journal.step() && journal.text(0) == "wal";
    if (!is_wal) throw DatabaseError(DatabaseError::Kind::kOther, "the file system takes no write-ahead log");
    execute("PRAGMA synchronous = FULL");
  } else {
    execute("PRAGMA journal_mode = OFF");
    execute("PRAGMA synchronous = OFF");
  }
}

Database::~Database() = default;

void Database::execute(const std::string& sql) {
  check(state_->handle, sqlite3_exec(state_->handle, sql.c_str(), nullptr, nullptr, nullptr));
}

Statement Database::prepare(const std::string& sql) {
  auto state = std::make_unique<Statement::State>();
  state->database = state_->handle;
  check(state_->handle, sqlite3_prepare_v2(state_->handle, sql.c_str(), -1, &state->handle, nullptr));
  return Statement(std::move(state));
}

}  // namespace moeplan::sweep
