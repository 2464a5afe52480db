#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/diagnostics.h"
#include "planner/export/megatron_flags.h"

namespace moeplan::planner {

/// Typed values of flags; faults keep their place.
class FlagReader {
 public:
  FlagReader(const MegatronFlags& flags, const std::string& file, base::DiagnosticSink& sink)
      : flags_(flags), file_(file), sink_(sink) {}

  bool has(const char* flag) const { return flags_.find(flag) != nullptr; }
  void fault(const char* flag, std::string message, std::string hint = "") const;

  /// The one value of a flag; nothing where the flag is absent or faulty.
  std::optional<std::string> text(const char* flag) const;
  /// A whole number from `low` on; nothing where the flag is absent or faulty.
  std::optional<std::int64_t> whole(const char* flag, std::int64_t low = 1) const;
  int degree(const char* flag, int fallback) const {
    return static_cast<int>(whole(flag).value_or(fallback));
  }

  const MegatronFlags::Entry* entry(const char* flag) const { return flags_.find(flag); }
  const std::string& file() const { return file_; }
  base::DiagnosticSink& sink() const { return sink_; }

 private:
  const MegatronFlags& flags_;
  const std::string& file_;
  base::DiagnosticSink& sink_;
};

}  // namespace moeplan::planner
