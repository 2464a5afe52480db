#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "calibrate/measure/communicator.h"

namespace moeplan::calibrate {

/// Which ranks stand on which node: node k holds ranks k * per_node ... k * per_node + per_node - 1.
struct RankLayout {
  int nodes = 1, per_node = 1;
  std::vector<std::string> hosts;  ///< [node]
  int ranks() const { return nodes * per_node; }
  /// From the host of each rank. Throws BadOperation where nodes hold different numbers of ranks, or ranks that do
  /// not follow one another: a cluster file cannot say that.
  static RankLayout of(const std::vector<std::string>& host_of_rank);
};

/// The operation that a case asks for; what every kind means is in docs/formats/measurements.md. Throws
/// BadOperation where the case needs ranks or a layout that is not there, or is none of ranks ("gemm").
/// A case of kind "traffic" is an operation only with its file: RankDevice::set_traffic.
Operation operation_of(const Case& what, const RankLayout& layout);

/// All ranks together as a device; lives on rank 0, while serve_rank() runs on the others. The time of a batch is
/// that of the slowest rank. When it goes, or when stop() is called, the others come back from serve_rank().
///
/// Protocol: rank 0 shares one line, `prepare OPERATION`, `run REPETITIONS`, `check` or `stop REASON`; every rank
/// does it and answers "ok", "ok SECONDS" or its fault.
class RankDevice : public Device {
 public:
  /// A repetition that is expected to take more than `longest` is not started (NoTime): expected from the smaller
  /// sizes of the same pattern.
  RankDevice(Communicator& communicator, base::Seconds longest);
  ~RankDevice() override;
  RankDevice(const RankDevice&) = delete;
  RankDevice& operator=(const RankDevice&) = delete;

  const RankLayout& layout() const { return layout_; }
  /// What the case "traffic name=NAME ..." of this text does.
  void set_traffic(const std::string& key, Operation operation) { traffic_[key] = std::move(operation); }
  /// Ends the others; with a reason, as a failure that each of them tells.
  void stop(const std::string& reason);
  /// Leaves the others alone: they are lost.
  void abandon() { stopped_ = true; }

  std::vector<std::pair<std::string, std::string>> facts() override;
  DeviceState state() override { return {}; }
  std::unique_ptr<Workload> prepare(const Case& what) override;

  /// What a workload of it asks of all ranks. Throws DeviceLost with the first rank's fault, if any.
  std::vector<std::string> command(const std::string& line);
  void set_current(std::unique_ptr<RankWorkload> workload) { current_ = std::move(workload); }
  RankWorkload& current() { return *current_; }
  const RankLayout& ranks() const { return layout_; }
  void note_time(const Case& what, base::Seconds time);

 private:
  std::string answer(const std::string& line);
  void require_time(const Case& what) const;

  Communicator& communicator_;
  base::Seconds longest_;
  RankLayout layout_;
  std::map<std::string, Operation> traffic_;
  std::unique_ptr<RankWorkload> current_;
  /// By pattern without its size: bytes and seconds of the largest size so far.
  std::map<std::string, std::pair<double, double>> seen_;
  bool stopped_ = false;
};

/// What the other ranks do until rank 0 stops. The reason that rank 0 gave: empty where all went well. Throws
/// DeviceLost where rank 0 is gone.
std::string serve_rank(Communicator& communicator);

/// Cases for ranks laid out like that, most important first, up to `largest` bytes: latency between nodes, all
/// shifts (rank r sends to r + k, for every k) and pairs at growing sizes, all-to-allv under skew, collectives.
std::vector<Case> default_rank_cases(const RankLayout& layout, base::Bytes largest);

}  // namespace moeplan::calibrate
