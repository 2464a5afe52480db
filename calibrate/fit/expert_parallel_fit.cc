#include "calibrate/fit/expert_parallel_fit.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>

#include "calibrate/fit/robust_least_squares.h"
#include "sim/cost/profile.h"

namespace moeplan::calibrate {

namespace {

using base::BytesPerSecond;
using base::Seconds;
using sim::EpConstants;
using sim::EpLibrary;
using sim::EpOperation;
using sim::EpRow;

/// One constant in its unit of fitting, kept positive by fitting its logarithm.
struct Parameter {
  std::function<void(EpConstants&, double)> set;
  double start, lower, upper;
};

Parameter time_ns(Seconds EpConstants::*field, double start, double lower, double upper) {
  return {[field](EpConstants& c, double v) { c.*field = Seconds::from_ns(v); }, start, lower, upper};
}
Parameter rate(BytesPerSecond EpConstants::*field, double start, double lower, double upper) {
  return {[field](EpConstants& c, double v) { c.*field = BytesPerSecond::from_gb_per_s(v); }, start, lower,
          upper};
}
Parameter share(double EpConstants::*field, double start, double lower, double upper) {
  return {[field](EpConstants& c, double v) { c.*field = v; }, start, lower, upper};
}

/// Where the fit of one operation starts from; units: ns, GB/s, 1.
std::vector<Parameter> one_node_parameters(EpLibrary library, EpOperation operation) {
  const bool combine = operation == EpOperation::kCombine;
  switch (library) {
    case EpLibrary::kDeepEp: {
      std::vector<Parameter> p = {
          time_ns(&EpConstants::start, 30e3, 1e3, 200e3), time_ns(&EpConstants::copy, 50, 0.1, 2e3),
          rate(&EpConstants::send, 25, 2, 400),           share(&EpConstants::contention, 0.006, 1e-5, 0.1),
          share(&EpConstants::crest, 0.8, 0.01, 3),       share(&EpConstants::nvlink_share, 0.7, 0.2, 1)};
      if (combine) {
        p.push_back(rate(&EpConstants::fill, 1, 0.05, 1e3));
        p.push_back(rate(&EpConstants::write, 8, 1, 400));
        p.push_back(rate(&EpConstants::read, 60, 5, 1e3));
      } else {
        p.push_back(time_ns(&EpConstants::token, 250, 0.1, 5e3));
      }
      return p;
    }
    case EpLibrary::kHybridEp:
      return {time_ns(&EpConstants::start, 40e3, 5e3, 200e3), time_ns(&EpConstants::token, 300, 1, 5e3),
              rate(&EpConstants::send, 100, 5, 1e3), share(&EpConstants::nvlink_share, 0.75, 0.3, 1)};
    case EpLibrary::kDeepEpLowLatency:
      return {
          time_ns(&EpConstants::start, 10e3, 1e3, 100e3), time_ns(&EpConstants::expert_start, 10, 0.01, 1e3),
          time_ns(&EpConstants::token, 1000, 1, 1e4),     time_ns(&EpConstants::copy, 100, 0.1, 1e4),
          rate(&EpConstants::send, 20, 1, 1e3),           share(&EpConstants::nvlink_share, 0.5, 0.1, 1)};
    case EpLibrary::kNvlinkTwoSided:
    case EpLibrary::kNvlinkOneSided:
      break;
  }
  std::vector<Parameter> p = {time_ns(&EpConstants::start, 11e3, 1e3, 100e3),
                              time_ns(&EpConstants::rank_start, 600, 0.1, 20e3),
                              time_ns(&EpConstants::token, 10, 0.01, 200)};
  if (operation != EpOperation::kPrepare) {
    p.push_back(time_ns(&EpConstants::copy, 1, 1e-3, 100));
    p.push_back(share(&EpConstants::nvlink_share, 0.7, 0.2, 1));
  }
  return p;
}

/// What nodes add, found on rows of two nodes.
std::vector<Parameter> node_parameters(EpLibrary library) {
  if (library == EpLibrary::kDeepEpLowLatency) return {time_ns(&EpConstants::node_start, 8e3, 10, 100e3)};
  if (library == EpLibrary::kHybridEp) {
    return {time_ns(&EpConstants::node_start, 30e3, 1e3, 200e3), rate(&EpConstants::relay, 60, 2, 1e3)};
  }
  return {time_ns(&EpConstants::node_start, 3e3, 10, 100e3), rate(&EpConstants::relay, 15, 1, 400),
          share(&EpConstants::node_crest, 0.7, 0.01, 3)};
}

constexpr double kRobustScale = 0.08;
/// Weight of the start value of each parameter, as if it were a row known to 1/0.03 in its logarithm: holds
/// what few rows leave open.
constexpr double kPull = 0.03;
constexpr int kFewestRows = 1;  ///< the pull holds what they leave open

class Fitter {
 public:
  /// `machines`: of rows of other GPUs than `stem`.
  Fitter(const sim::ProfileData& device, const std::string& stem,
         const std::map<std::string, ExpertParallelMachine>& machines)
      : device_(device), machines_(machines) {
    own_ = {line_rate(sim::LinkClass::kNvlink), device.hbm_bandwidth, device.sm_count};
    machines_[stem] = own_;
  }

  sim::LineRates rates(const EpRow& row) const {
    sim::LineRates rates{machine(row).nvlink, line_rate(sim::LinkClass::kNic)};
    if (row.nvlink) rates.nvlink = *row.nvlink;
    return rates;
  }
  double predict(const EpConstants& constants, const EpRow& row) const {
    const ExpertParallelMachine& gpu = machine(row);
    return sim::predict_time(constants, row, rates(row), gpu.sm_count, gpu.hbm).s();
  }
  double log_ratio(const EpConstants& constants, const EpRow& row) const {
    return std::log(predict(constants, row) / row.measured.s());
  }

  EpConstants fit(EpConstants constants, const std::vector<Parameter>& parameters,
                  const std::vector<const EpRow*>& rows) const {
    LeastSquaresProblem problem;
    problem.scale = kRobustScale;
    for (const Parameter& p : parameters) {
      problem.start.push_back(std::log(p.start));
      problem.lower.push_back(std::log(p.lower));
      problem.upper.push_back(std::log(p.upper));
    }
    const auto apply = [&](std::span<const double> x) {
      EpConstants c = constants;
      for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].set(c, std::exp(x[i]));
      return c;
    };
    problem.residuals = [&](std::span<const double> x) {
      const EpConstants c = apply(x);
      std::vector<double> r;
      r.reserve(rows.size() + x.size());
      for (const EpRow* row : rows) r.push_back(log_ratio(c, *row));
      for (std::size_t i = 0; i < x.size(); ++i) r.push_back(kPull * (x[i] - problem.start[i]));
      return r;
    };
    return apply(solve_robust_least_squares(problem));
  }

 private:
  BytesPerSecond line_rate(sim::LinkClass c) const {
    return device_.links[static_cast<std::size_t>(c)].line_rate;
  }
  const ExpertParallelMachine& machine(const EpRow& row) const {
    const auto found = machines_.find(row.stem);
    return found != machines_.end() ? found->second : own_;
  }

  const sim::ProfileData& device_;
  std::map<std::string, ExpertParallelMachine> machines_;
  ExpertParallelMachine own_;
};

using Rows = std::vector<const EpRow*>;

Rows select(const std::vector<EpRow>& rows, const std::function<bool(const EpRow&)>& wanted) {
  Rows chosen;
  for (const EpRow& row : rows) {
    if (wanted(row)) chosen.push_back(&row);
  }
  return chosen;
}

/// Rows that a refit leaves out together: one shape, or one SM count where all have one shape.
std::string fold_of(const EpRow& row, bool one_shape) {
  if (one_shape) return fmt::format("{}/{}", row.sms, row.token_bytes);
  return fmt::format("{}/{}/{}/{}", row.hidden, row.top_k, row.experts, row.ranks);
}

constexpr int kFolds = 6;
constexpr std::size_t kEnoughForBand = 40;

/// The whole fit of one operation, and its band.
class OperationFit {
 public:
  OperationFit(const Fitter& fitter, EpLibrary library, EpOperation operation, EpConstants base)
      : fitter_(fitter), library_(library), operation_(operation), base_(std::move(base)) {}

  EpConstants constants(const Rows& one, const Rows& two) const {
    EpConstants c = base_;
    if (library_ == EpLibrary::kHybridEp && one.empty()) {  // rows on nodes alone
      std::vector<Parameter> all = one_node_parameters(library_, operation_);
      all.pop_back();          // NVLink does not show
      all.erase(all.begin());  // nor what of the start is there in one node
      for (Parameter& p : node_parameters(library_)) all.push_back(p);
      return fitter_.fit(c, all, two);
    }
    if (static_cast<int>(one.size()) >= kFewestRows)
      c = fitter_.fit(c, one_node_parameters(library_, operation_), one);
    if (static_cast<int>(two.size()) >= kFewestRows) c = fitter_.fit(c, node_parameters(library_), two);
    return c;
  }

  /// Percentiles of measured / predicted over rows that refits did not see; true where they are enough rows.
  bool set_band(const Rows& one, const Rows& two, EpConstants& constants) const {
    std::set<std::string> shapes;
    for (const EpRow* row : one) shapes.insert(fold_of(*row, false));
    const bool one_shape = shapes.size() < 2;
    std::map<std::string, int> folds;
    for (const Rows* rows : {&one, &two}) {
      for (const EpRow* row : *rows) {
        const auto next = static_cast<int>(folds.size()) % kFolds;
        folds.emplace(fold_of(*row, one_shape), next);
      }
    }
    std::vector<double> ratios;
    for (int fold = 0; fold < kFolds; ++fold) {
      Rows seen_one, seen_two, left;
      const auto deal = [&](const Rows& rows, Rows& seen) {
        for (const EpRow* row : rows)
          (folds.at(fold_of(*row, one_shape)) == fold ? left : seen).push_back(row);
      };
      deal(one, seen_one);
      deal(two, seen_two);
      if (left.empty()) continue;
      if (!two.empty() && seen_two.empty())
        seen_two = two;  // two nodes have one shape: band of the fit itself
      const EpConstants c = this->constants(seen_one, seen_two);
      for (const EpRow* row : left) ratios.push_back(std::exp(-fitter_.log_ratio(c, *row)));
    }
    if (ratios.empty()) return false;
    std::sort(ratios.begin(), ratios.end());
    const auto at = [&](double q) {
      return ratios[static_cast<std::size_t>(std::lround(q * static_cast<double>(ratios.size() - 1)))];
    };
    constants.low = std::min(1.0, at(0.05));
    constants.high = std::max(1.0, at(0.95));
    return ratios.size() >= kEnoughForBand;
  }

 private:
  const Fitter& fitter_;
  EpLibrary library_;
  EpOperation operation_;
  EpConstants base_;
};

constexpr int kDeepEpSms =
    20;  ///< DeepEP's Buffer.num_sms, and what DeepSeek-V3 trained with (section 3.2.2)
constexpr int kHybridEpSms = 16;  ///< largest that all of HybridEP's tables have
constexpr double kAssumedNic = 0.9;

/// GPUs whose rows stand in for `stem`'s, nearest first: the same architecture, then the next.
std::vector<std::string> stand_ins(const std::string& stem) {
  if (stem == "h200-sxm" || stem == "h800-sxm" || stem == "a100-sxm" || stem == "v100-sxm" || stem == "l40s")
    return {"h100-sxm"};
  if (stem == "b200-sxm") return {"gb200", "b300-sxm", "h100-sxm"};
  if (stem == "b300-sxm") return {"b200-sxm", "gb200", "h100-sxm"};
  if (stem == "gb200") return {"gb300", "b200-sxm", "h100-sxm"};
  if (stem == "gb300") return {"gb200", "b200-sxm", "h100-sxm"};
  if (stem == "h100-sxm") return {"h200-sxm", "b200-sxm"};
  return {"h100-sxm", "h200-sxm", "b200-sxm"};
}

std::string source_of(EpLibrary library) {
  switch (library) {
    case EpLibrary::kDeepEp:
      return "ai-dynamo/aiconfigurator tables of sglang's DeepEP normal kernels (ep/deepep_normal.csv)";
    case EpLibrary::kDeepEpLowLatency:
      return "ai-dynamo/aiconfigurator tables of sglang's DeepEP low-latency kernels "
             "(ep/deepep_low_latency.csv)";
    case EpLibrary::kHybridEp:
      return "deepseek-ai/DeepEP@94a9f8f docs/README_Hybrid-EP.md (ep/libraries.csv)";
    case EpLibrary::kNvlinkTwoSided:
    case EpLibrary::kNvlinkOneSided:
      break;
  }
  return "ai-dynamo/aiconfigurator tables of TensorRT-LLM's NVLink all-to-all (ep/nvl72_alltoall.csv)";
}

bool fits_here(const EpRow& row, const std::string& stem, EpLibrary library, EpOperation operation) {
  // Constants come from the kernels' own tables; a row of another machine or timing only checks them.
  return row.stem == stem && row.ep_library == library && row.operation == operation && !row.with_api &&
         sim::seen_by_fit(row);
}

/// Time per token and rank that HybridEP needs beside its kernels, from the dispatch rows that have both.
void set_scan(const Fitter& fitter, const std::vector<EpRow>& rows, const std::string& stem, EpConstants& c) {
  std::vector<double> scans;
  for (const EpRow& row : rows) {
    if (row.stem != stem || row.ep_library != EpLibrary::kHybridEp || !row.with_api ||
        row.operation != EpOperation::kDispatch)
      continue;
    if (!sim::seen_by_fit(row)) continue;
    const double rest = row.measured.s() - fitter.predict(c, row);
    scans.push_back(rest / (static_cast<double>(row.tokens) * row.ranks));
  }
  if (scans.empty()) return;
  std::sort(scans.begin(), scans.end());
  c.scan = Seconds::of(std::max(0.0, scans[scans.size() / 2]));
}

ExpertParallelResidual measure(const Fitter& fitter, const std::vector<EpRow>& rows, const std::string& stem,
                               EpLibrary library, EpOperation operation, const EpConstants& c) {
  ExpertParallelResidual residual;
  residual.system = stem;
  residual.ep_library = library;
  residual.operation = operation;
  std::vector<double> left, fitted;
  for (const EpRow& row : rows) {
    if (row.stem != stem || row.ep_library != library || row.operation != operation || row.anomalous)
      continue;
    const double error = std::abs(fitter.predict(c, row) / row.measured.s() - 1.0);
    if (fits_here(row, stem, library, operation)) {
      residual.fitted_mean += error;
      fitted.push_back(error);
    } else {
      left.push_back(error);
    }
  }
  residual.fitted = static_cast<int>(fitted.size());
  if (residual.fitted > 0) {
    residual.fitted_mean /= residual.fitted;
    std::sort(fitted.begin(), fitted.end());
    residual.fitted_median = fitted[fitted.size() / 2];
  }
  residual.left_out = static_cast<int>(left.size());
  if (left.empty()) return residual;
  std::sort(left.begin(), left.end());
  for (const double error : left) residual.left_out_mean += error / static_cast<double>(left.size());
  residual.left_out_median = left[left.size() / 2];
  residual.left_out_worst = left.back();
  return residual;
}

/// A rank writes to its peer on each other node over a connection of its own: what one of NCCL reaches.
double share_of_nic(const sim::LinkTable& nic) {
  constexpr auto kAllToAll = static_cast<std::size_t>(sim::CollectiveKind::kAllToAll);
  if (!nic.present) return kAssumedNic;
  return std::min(1.0, nic.nccl ? nic.nccl->connection_share : nic.collectives[kAllToAll].bandwidth_fraction);
}

}  // namespace

ExpertParallelFit fit_expert_parallel(const sim::ProfileData& device, const std::string& stem,
                                      const std::vector<EpRow>& rows,
                                      const std::map<std::string, ExpertParallelMachine>& machines) {
  const Fitter fitter(device, stem, machines);
  ExpertParallelFit result;
  const double nic_share = share_of_nic(device.links[static_cast<std::size_t>(sim::LinkClass::kNic)]);
  for (int l = 0; l < sim::kEpLibraries; ++l) {
    for (int o = 0; o < sim::kEpOperations; ++o) {
      const auto library = static_cast<EpLibrary>(l);
      const auto operation = static_cast<EpOperation>(o);
      std::vector<std::string> order = stand_ins(stem);
      order.insert(order.begin(), stem);
      // The first GPU that has rows in one node, and the first with rows on two.
      const auto find = [&](bool nodes) -> std::string {
        for (const std::string& from : order) {
          for (const EpRow& row : rows) {
            if (fits_here(row, from, library, operation) && (row.nodes > 1) == nodes) return from;
          }
        }
        return "";
      };
      std::string one_from = find(false);
      const std::string two_from = find(true);
      if (library == EpLibrary::kHybridEp && two_from == stem) one_from = stem;  // own rows, nodes only
      if (one_from.empty() && two_from.empty()) continue;
      const Rows one = select(rows, [&](const EpRow& row) {
        return row.nodes == 1 && fits_here(row, one_from, library, operation);
      });
      const Rows two = select(rows, [&](const EpRow& row) {
        return row.nodes > 1 && fits_here(row, two_from, library, operation);
      });
      EpConstants base;
      base.nic_share = nic_share;
      if (const EpConstants* same_gpu = result.table.find(EpLibrary::kDeepEp, operation)) {
        base.nvlink_share = same_gpu->nvlink_share;  // until rows of this library say otherwise
        base.start = same_gpu->start;
      }
      if (library == EpLibrary::kDeepEp) base.default_sms = kDeepEpSms;
      if (library == EpLibrary::kHybridEp) base.default_sms = kHybridEpSms;
      const OperationFit fit(fitter, library, operation, base);
      EpConstants c = fit.constants(one, two);
      const bool wide = fit.set_band(one, two, c);
      const EpConstants* more_rows = result.table.find(EpLibrary::kDeepEp, operation);
      if (!wide && more_rows != nullptr) {  // too few rows for percentiles
        c.low = more_rows->low;
        c.high = more_rows->high;
      }
      const std::string scan_from = one_from.empty() ? two_from : one_from;
      if (library == EpLibrary::kHybridEp && operation == EpOperation::kDispatch)
        set_scan(fitter, rows, scan_from, c);
      c.source = source_of(library);
      const bool own = one_from == stem;
      c.evidence = own ? sim::Evidence::kMeasured : sim::Evidence::kAssumed;
      if (!own && !one_from.empty()) c.source += fmt::format("; one node as on {}, by line rates", one_from);
      if (!two_from.empty() && two_from != stem) c.source += fmt::format("; nodes as on {}", two_from);
      if (own) result.residuals.push_back(measure(fitter, rows, stem, library, operation, c));
      result.table.set(library, operation, std::move(c));
    }
  }
  return result;
}

}  // namespace moeplan::calibrate
