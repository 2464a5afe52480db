#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::calibrate {

/// One measured case of a file, as far as a comparison needs it. Times in seconds.
struct MeasuredTime {
  std::string kind;
  double seconds = 0.0;
  std::optional<double> low, high;  ///< 95 % interval of the median; a sustained run has none
};

/// A file of measurements (docs/formats/measurements.md). Of a case or fact that stands there twice the later
/// one counts.
struct MeasuredFile {
  std::string file;
  std::map<std::string, std::string> facts;   ///< the provenance: "gpu_name", "cuda_driver" ...
  std::map<std::string, MeasuredTime> times;  ///< by case
};

/// Lines whose status is not "measured" count for nothing; a last line without line end, left by a killed
/// run, is not read. Throws InputError with every line that is none of the schema, or holds no case or no
/// time above 0.
MeasuredFile parse_measured(std::string_view text, const std::string& file);
MeasuredFile load_measured(const std::string& path);

/// A case of both files.
struct DriftedCase {
  std::string name;
  MeasuredTime before, after;
  double change() const { return after.seconds / before.seconds - 1.0; }
  /// Both have intervals, and these have no point in common: more than the noise of the batches.
  bool is_apart() const;
};

/// The changes of all cases of one kind.
struct KindDrift {
  std::string kind;
  std::size_t cases = 0;
  std::size_t apart = 0;  ///< whose intervals do not overlap
  double median = 0.0;    ///< of new/old - 1: above 0, the new file is slower
  double p95 = 0.0;       ///< 95th percentile (nearest rank) of |new/old - 1|
};

/// What changed between two files. The old one is the reference.
struct Drift {
  std::vector<KindDrift> kinds;    ///< by name
  std::vector<DriftedCase> apart;  ///< cases whose intervals do not overlap, largest |change| first
  std::size_t only_old = 0, only_new = 0;
  /// Facts of the provenance that differ, with both values; "" where one file lacks it.
  struct Fact {
    std::string key, before, after;
  };
  std::vector<Fact> facts;
};

/// Throws InputError where no case is in both files.
Drift find_drift(const MeasuredFile& before, const MeasuredFile& after);

}  // namespace moeplan::calibrate
