#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

namespace moeplan::sweep {

/// What SQLite refused, with its words.
class DatabaseError : public std::runtime_error {
 public:
  enum class Kind { kBusy, kCorrupt, kOther };
  DatabaseError(Kind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  Kind kind() const { return kind_; }

 private:
  Kind kind_;
};

/// One SQL statement of a Database. Parameters count from 1, columns from 0.
class Statement {
 public:
  ~Statement();
  Statement(Statement&&) noexcept;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(int parameter, const std::string& text);
  void bind(int parameter, std::int64_t number);
  void bind(int parameter, std::optional<double> number);
  /// True where a row came, false at the end. The statement can be bound and run again after the end.
  bool step();
  void reset();
  std::string text(int column) const;
  std::int64_t integer(int column) const;

 private:
  friend class Database;
  struct State;
  explicit Statement(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// An SQLite file with one connection, which is the only one there may be while it is open: the lock is
/// exclusive, so that the write-ahead log needs no memory shared between processes, which network file
/// systems do not have. Source: https://sqlite.org/wal.html, section 8 "Use of WAL Without Shared-Memory".
/// Not thread-safe. Throws DatabaseError.
class Database {
 public:
  enum class Mode { kWriteAheadLog, kNoJournal };
  /// Opens or makes the file. kWriteAheadLog: what a statement outside of a transaction wrote is on the disk
  /// when it returns (synchronous = FULL). kNoJournal: for a file that is thrown away unless it is finished.
  Database(const std::string& path, Mode mode);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  void execute(const std::string& sql);
  Statement prepare(const std::string& sql);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moeplan::sweep
