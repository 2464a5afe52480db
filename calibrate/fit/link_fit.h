#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sim/collective/nccl_log.h"
#include "sim/collective/nccl_model.h"
#include "sim/cost/profile_data.h"

namespace moeplan::calibrate {

/// One measured collective: `local` ranks on each of `nodes` nodes, S as nccl-tests counts it.
struct CollectiveSample {
  sim::NcclTest test = sim::NcclTest::kAllGather;
  sim::NcclGroup group;
  base::Bytes size;
  base::Seconds time;
  std::string source;
};

/// What is known of the links without measuring them.
struct LinkFacts {
  base::BytesPerSecond nvlink_line;  ///< per GPU and direction; of the machine that the samples come from
  base::BytesPerSecond nic_line;     ///< a GPU's share of its node's NICs
  /// In-switch reduction by GPU generation (NCCL: 0.85 and 16 channels on Hopper, 0.74 and 24 on Blackwell).
  double nvls_efficiency = 0;
  int nvls_channels = 0;
  /// What NCCL takes an NVLSTree channel for, over two nodes and more (57.7 and 45.5 GB/s on Hopper, 96 and
  /// 43.1 on Blackwell); zero: no limit.
  base::BytesPerSecond nvls_tree_near_rate;
  base::BytesPerSecond nvls_tree_far_rate;
  /// One thread block's rate where no send/recv of few channels was measured.
  base::BytesPerSecond channel_rate;
};

struct LinkFit {
  sim::LinkTable table;        ///< constants, bands and evidence per kind
  std::size_t fitted = 0;      ///< samples that the constants were fitted on
  double fitted_error = 0;     ///< their median |log(predicted/measured)|
  std::size_t predicted = 0;   ///< samples of the same links that were predicted
  double predicted_error = 0;  ///< their median
};

/// True for the samples that link constants are fitted on: out-of-place all-gathers and send/recv of at most
/// four ranks on a node; over nodes such as reach far too few nodes for a fabric to matter, or use at most
/// two GPUs of a node. All-to-all, reduce-scatter, all-reduce, broadcast and reduce are never fitted on.
bool is_link_fit_sample(const CollectiveSample& sample);

/// Constants of NVLink (or any links inside a node) from the samples on one node.
///
/// Method:  1. median time of each (test, ranks, size); 2. start, step, share of the three protocols and the
/// copy
///          rate that make sum w |log(predicted/measured)| least over the fitted all-gathers, w = 3 from 32
///          MiB up, else 1, by pattern search: each constant in turn times or by a factor that shrinks
///          from 1.5 to 1.003;
///          3. channel rate: median of size / (time - start) / channels over send/recv that fill fewer
///          channels than the links need. Deterministic: no random start.
/// Bands:   per kind, the 5 % and 95 % quantiles of measured / predicted over the samples from 32 MiB up. The
///          fitted all-gathers are left out where others of the kind were predicted. A kind without samples
///          takes the widest band of the others and is marked extrapolated.
///          NcclCost::bands holds the same by size of the collective.
/// Throws InputError where there is no all-gather to fit on.
LinkFit fit_local_links(std::span<const CollectiveSample> samples, const LinkFacts& facts);

/// Constants of the network from the samples over several nodes, given those inside a node.
/// Fitted: one start, one share, one latency from the all-gathers; the three protocols' latencies stand to
/// each other as in NCCL's table, 2.7 : 4 : 14 (src/graph/tuning.cc), LL128's share at its payload of
/// 120/128, LL's at half. Connection share: from send/recv whose channels could fill the NIC. A channel: 14
/// GB/s (NCCL_P2P_PER_CHANNEL_NET_BW).
LinkFit fit_network(std::span<const CollectiveSample> samples, const std::optional<sim::NcclCost>& local,
                    const LinkFacts& facts);

/// Median |predicted / measured - 1| and the like of any samples under a fitted model.
std::vector<double> link_errors(std::span<const CollectiveSample> samples, const sim::NcclModel& model);

}  // namespace moeplan::calibrate
