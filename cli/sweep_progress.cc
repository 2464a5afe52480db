#include "cli/sweep_progress.h"

#include <cmath>
#include <ostream>

#include <fmt/format.h>

namespace moeplan::cli {

namespace {

std::string duration_text(double seconds) {
  if (seconds < 120) return fmt::format("{:.0f} s", std::ceil(seconds));
  if (seconds < 7200) return fmt::format("{:.0f} min", std::ceil(seconds / 60));
  return fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace

std::string progress_line(const sweep::Progress& progress, std::chrono::duration<double> elapsed) {
  const double share =
      progress.total > 0 ? static_cast<double>(progress.done) / static_cast<double>(progress.total) : 1.0;
  std::string line = fmt::format("{} of {} points ({:.0f} %)", progress.done, progress.total, 100 * share);
  const std::size_t computed = progress.done - progress.found;
  if (computed == 0 || elapsed.count() <= 0) return line;
  const double rate = static_cast<double>(computed) / elapsed.count();
  return line + fmt::format(", {:.3g} points/s, {} left", rate,
                            duration_text(static_cast<double>(progress.total - progress.done) / rate));
}

void SweepProgress::show(const sweep::Progress& progress) {
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::seconds(1)) return;
  last_ = now;
  // A shorter line has to cover the one before.
  out_ << (terminal_ ? fmt::format("\r{:<70}", progress_line(progress, elapsed()))
                     : progress_line(progress, elapsed()) + "\n")
       << std::flush;
  shown_ = true;
}

void SweepProgress::finish() {
  if (shown_ && terminal_) out_ << '\n' << std::flush;
  shown_ = false;
}

}  // namespace moeplan::cli
