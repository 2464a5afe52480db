#include "calibrate/fit/link_section.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "calibrate/fit/descend.h"
#include "calibrate/fit/link_fit.h"
#include "calibrate/fit/residuals.h"

namespace moeplan::calibrate {

namespace {

using base::BytesPerSecond;
using base::Seconds;
using sim::LinkTable;
using sim::NcclCost;

constexpr auto kNvlink = static_cast<std::size_t>(sim::LinkClass::kNvlink);
constexpr auto kNic = static_cast<std::size_t>(sim::LinkClass::kNic);
constexpr double kBitsPerByte = 8.0, kGiga = 1e9;
/// Two constants of each of three protocols, two ranks: with fewer sizes most would keep where they start.
constexpr std::size_t kFewestGathers = 8;
constexpr std::int64_t kLarge = std::int64_t{32} << 20;

/// Samples of one GPU on one node, or of one cluster over nodes.
struct Group {
  std::vector<CollectiveSample> rows;
  std::set<std::string> software, citations;
  std::optional<BytesPerSecond> nic;
  void add(const Sample& sample, const CollectiveShape& shape) {
    rows.push_back({shape.test, shape.group, shape.size, sample.time, sample.file});
    if (!sample.software.empty()) software.insert(sample.software);
    // A log's citation is that of the file; who published it is enough here.
    citations.insert(sample.citation.substr(0, sample.citation.find(':')));
    if (shape.nic) nic = shape.nic;
  }
  std::size_t usable(sim::NcclTest test) const {
    return static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), [&](const CollectiveSample& s) {
      return s.test == test && is_link_fit_sample(s);
    }));
  }
};

std::string join(const std::set<std::string>& texts, std::string_view by = "; ") {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : std::string(by)) + text;
  return all;
}

/// " (32 samples from 32 MiB up, median error 1.6 %), 178 others predicted, median 6.0 %; CITATIONS;
/// SOFTWARE"
std::string figures_text(const LinkFit& fit, const Group& group) {
  std::string text = fmt::format(" ({} samples from 32 MiB up", fit.fitted);
  if (fit.fitted > 0) text += fmt::format(", median error {:.1f} %", 100 * fit.fitted_error);
  text += ")";
  if (fit.predicted > 0)
    text += fmt::format(", {} others predicted, median {:.1f} %", fit.predicted, 100 * fit.predicted_error);
  for (const std::set<std::string>* words : {&group.citations, &group.software})
    if (!words->empty()) text += "; " + join(*words, ", ");
  return text;
}

/// "1, 2 and 4"
std::string count_list(const std::set<int>& counts) {
  std::string text;
  std::size_t left = counts.size();
  for (const int count : counts) {
    text += fmt::format("{}{}", count, left > 2 ? ", " : left == 2 ? " and " : "");
    --left;
  }
  return text;
}

Seconds rounded(Seconds t) { return Seconds::from_us(significant(t.us())); }
BytesPerSecond rounded(BytesPerSecond rate, int digits = 4) {
  return BytesPerSecond::from_gb_per_s(significant(rate.gb_per_s(), digits));
}

/// A table with the digits that a profile shows.
LinkTable rounded(LinkTable table) {
  for (sim::CommEfficiency& comm : table.collectives) {
    comm.bandwidth_fraction = significant(comm.bandwidth_fraction);
    comm.base_latency = rounded(comm.base_latency);
    comm.per_step = rounded(comm.per_step);
    comm.low = significant(comm.low);
    comm.high = significant(comm.high);
  }
  if (!table.nccl) return table;
  NcclCost& cost = *table.nccl;
  cost.channel_rate = rounded(cost.channel_rate);
  cost.copy_rate = rounded(cost.copy_rate, 5);
  cost.connection_share = significant(cost.connection_share);
  for (sim::NcclProtocolCost& protocol : cost.protocols) {
    protocol.start = rounded(protocol.start);
    protocol.step = rounded(protocol.step);
    protocol.share = significant(protocol.share);
  }
  for (sim::NcclBand& band : cost.bands) {
    for (double& low : band.low) low = significant(low);
    for (double& high : band.high) high = significant(high);
  }
  return table;
}

void set_evidence(LinkTable& table, sim::Evidence evidence) {
  for (sim::CommEfficiency& comm : table.collectives) comm.evidence = evidence;
}

/// What a fit of one GPU's NVLink gives.
struct LocalFit {
  LinkFit fit;
  std::string channel_from;  ///< GPU whose channel rate stands in; empty where it was fitted here
};

class LinkSection {
 public:
  LinkSection(sim::ProfileData& profile, const std::vector<Sample>& samples, const FitOptions& options,
              FitReport& report)
      : profile_(profile), options_(options), report_(report) {
    for (const DeviceFacts& device : options.devices) devices_[device.name] = &device;
    for (const Sample& sample : samples) {
      const auto* shape = std::get_if<CollectiveShape>(&sample.shape);
      if (shape == nullptr) continue;
      any_ = true;
      if (shape->group.nodes == 1) {
        local_[sample.gpu].add(sample, *shape);
      } else if (shape->nic) {
        over_[sample.gpu][shape->cluster].add(sample, *shape);
      } else {
        ++unstated_[{sample.gpu, shape->cluster}];
      }
    }
  }

  void run() {
    if (!any_) {
      report_.kept.emplace_back("links");
      return;
    }
    check_rates();
    fit_nvlink();
    fit_nic();
    remark();
  }

 private:
  const DeviceFacts* device(const std::string& gpu) const {
    const auto found = devices_.find(gpu);
    return found == devices_.end() ? nullptr : found->second;
  }
  std::vector<std::string> nearest(const std::string& gpu) const {
    const DeviceFacts* facts = device(gpu);
    return facts == nullptr ? std::vector<std::string>{} : facts->nearest;
  }
  bool can_fit_local(const std::string& gpu) const {
    const auto found = local_.find(gpu);
    return found != local_.end() && found->second.usable(sim::NcclTest::kAllGather) >= kFewestGathers &&
           facts_of(gpu).nvlink_line.bytes_per_s() > 0.0;
  }

  /// By the data sheet; of a profile that has none by the profile itself.
  LinkFacts facts_of(const std::string& gpu) const {
    LinkFacts facts;
    if (const DeviceFacts* known = device(gpu)) {
      facts.nvlink_line = known->nvlink;
      facts.nvls_efficiency = known->nvls_efficiency;
      facts.nvls_channels = known->nvls_channels;
      facts.nvls_tree_near_rate = known->nvls_tree_near_rate;
      facts.nvls_tree_far_rate = known->nvls_tree_far_rate;
    } else if (gpu == profile_.name) {
      const LinkTable& table = profile_.links[kNvlink];
      facts.nvlink_line = table.line_rate;
      if (table.nccl) {
        facts.nvls_efficiency = table.nccl->nvls_efficiency;
        facts.nvls_channels = table.nccl->nvls_channels;
        facts.nvls_tree_near_rate = table.nccl->nvls_tree_near_rate;
        facts.nvls_tree_far_rate = table.nccl->nvls_tree_far_rate;
      }
    }
    return facts;
  }

  /// Own samples are checked even where too few of them are there to fit on.
  void check_rates() const {
    const BytesPerSecond line = facts_of(profile_.name).nvlink_line;
    if (const auto own = local_.find(profile_.name); own != local_.end() && line.bytes_per_s() > 0.0)
      require_below(own->second, line, false, profile_.name + "'s NVLink",
                    "are these samples of another GPU?");
    if (const auto over = over_.find(profile_.name); over != over_.end()) {
      for (const auto& [name, group] : over->second) require_below_nic(group);
    }
  }

  static void require_below_nic(const Group& group) {
    require_below(group, *group.nic, true, "the NIC that is stated",
                  "--nic is one GPU's share of its node's NICs; nodes that NVLink joins count as one");
  }

  /// InputError where all-gathers are faster than the links: samples of other hardware than they say.
  static void require_below(const Group& group, BytesPerSecond line, bool over_nodes,
                            const std::string& links, const std::string& hint) {
    constexpr double kTolerance = 1.02;
    for (const CollectiveSample& s : group.rows) {
      if (s.test != sim::NcclTest::kAllGather || s.size.count() < kLarge) continue;
      const double bus = sim::bus_factor(s.test, s.group.ranks()) * s.size.as_double() / s.time.s() /
                         (over_nodes ? s.group.local : 1);
      if (bus <= line.bytes_per_s() * kTolerance) continue;
      throw base::InputError(std::vector<base::Diagnostic>{
          {s.source,
           {},
           "",
           fmt::format("found an all-gather at {:.1f} GB/s a GPU, expected at most the {:.1f} GB/s of {}",
                       bus / kGiga, line.gb_per_s(), links),
           hint}});
    }
  }

  /// Requires: can_fit_local(gpu).
  LocalFit fit_local(const std::string& gpu) const {
    const Group& group = local_.at(gpu);
    LinkFacts facts = facts_of(gpu);
    LocalFit local;
    const auto sends = [&](const std::string& from) {
      return can_fit_local(from) &&
             std::any_of(local_.at(from).rows.begin(), local_.at(from).rows.end(),
                         [](const CollectiveSample& s) { return s.test == sim::NcclTest::kSendRecv; });
    };
    // What stands unless send/recv of few channels tell.
    if (const auto& own = profile_.links[kNvlink].nccl) facts.channel_rate = own->channel_rate;
    if (!sends(gpu)) {
      for (const std::string& from : nearest(gpu)) {
        if (!sends(from)) continue;
        facts.channel_rate = fit_local_links(local_.at(from).rows, facts_of(from)).table.nccl->channel_rate;
        local.channel_from = from;
        break;
      }
      if (local.channel_from.empty()) local.channel_from = "before";
    }
    local.fit = fit_local_links(group.rows, facts);
    return local;
  }

  void report_fit(const char* what, const LinkFit& fit, sim::Evidence evidence, const std::string& source) {
    FittedPart part;
    part.section = "links";
    part.what = what;
    part.fitted = fit.fitted;
    part.fitted_error = fit.fitted_error;
    part.predicted = fit.predicted;
    part.predicted_error = fit.predicted_error;
    part.evidence = evidence;
    part.source = source;
    report_.parts.push_back(std::move(part));
  }

  /// Samples of this GPU that no constant comes from, though somebody may think so.
  void remark() {
    const auto tell = [&](const char* what, const Group& group, const std::string& where, const char* which) {
      const std::size_t gathers = group.usable(sim::NcclTest::kAllGather);
      if (gathers < kFewestGathers)
        report_.remarks.push_back(
            fmt::format("links {}: {} samples {}, {} of them all-gathers of {}; at least {} such "
                        "are needed to fit on",
                        what, group.rows.size(), where, gathers, which, kFewestGathers));
    };
    if (const auto local = local_.find(profile_.name); local != local_.end())
      tell("nvlink", local->second, "on one node", "2 to 4 GPUs");
    if (const auto over = over_.find(profile_.name); over != over_.end()) {
      for (const auto& [cluster, group] : over->second)
        tell("nic", group, "over nodes of " + cluster_text(cluster), "1 or 2 GPUs a node");
    }
    for (const auto& [key, count] : unstated_) {
      if (key.first != profile_.name) continue;
      report_.remarks.push_back(fmt::format(
          "links nic: {} samples over nodes of {} state no NIC rate and are not used; import them "
          "with --nic or an --index of clusters",
          count, cluster_text(key.second)));
    }
  }

  static std::string cluster_text(const std::string& cluster) {
    return cluster.empty() ? "an unnamed cluster" : "cluster " + cluster;
  }

  std::string local_source(const std::string& gpu, const LocalFit& local) const {
    const Group& group = local_.at(gpu);
    std::set<int> ranks;
    for (const CollectiveSample& s : group.rows) {
      if (s.test == sim::NcclTest::kAllGather && is_link_fit_sample(s)) ranks.insert(s.group.local);
    }
    std::string text = fmt::format("fitted on all-gathers of {} ranks on one node", count_list(ranks));
    if (local.channel_from.empty()) {
      text += "; rate of a channel on send/recv";
    } else {
      text += local.channel_from == "before"
                  ? "; rate of a channel assumed"
                  : "; rate of a channel as on " + local.channel_from + ", assumed";
    }
    text += figures_text(local.fit, group) + "; line rate from the data sheet";
    if (facts_of(gpu).nvls_channels > 0) text += ", in-switch reduction from NCCL 2.29's tuner";
    return text;
  }

  void fit_nvlink() {
    LinkTable& table = profile_.links[kNvlink];
    const DeviceFacts* own = device(profile_.name);
    const BytesPerSecond line = own != nullptr ? own->nvlink : table.line_rate;
    if (!(line.bytes_per_s() > 0.0)) {
      report_.kept.emplace_back("links nvlink (this GPU has none)");
      return;
    }
    if (can_fit_local(profile_.name)) {
      const LocalFit local = fit_local(profile_.name);
      table = rounded(local.fit.table);
      table.source = local_source(profile_.name, local);
      report_fit("nvlink", local.fit, sim::Evidence::kMeasured, table.source);
      return;
    }
    for (const std::string& from : nearest(profile_.name)) {
      if (can_fit_local(from)) {
        take_over(from, fit_local(from), line, own);
        return;
      }
    }
    report_.kept.emplace_back("links nvlink");
  }

  /// Another GPU's shares and steps at this one's line rate.
  void take_over(const std::string& from, const LocalFit& local, BytesPerSecond line,
                 const DeviceFacts* own) {
    LinkTable& table = profile_.links[kNvlink];
    table = local.fit.table;
    table.line_rate = line;
    NcclCost& cost = *table.nccl;
    if (const DeviceFacts* other = device(from))
      cost.copy_rate = cost.copy_rate * (profile_.hbm_bandwidth / other->hbm_bandwidth);
    cost.nvls_efficiency = own != nullptr ? own->nvls_efficiency : 0.0;
    cost.nvls_channels = own != nullptr ? own->nvls_channels : 0;
    cost.nvls_tree_near_rate = own != nullptr ? own->nvls_tree_near_rate : BytesPerSecond{};
    cost.nvls_tree_far_rate = own != nullptr ? own->nvls_tree_far_rate : BytesPerSecond{};
    set_evidence(table, sim::Evidence::kAssumed);
    LinkFit check;
    std::string checked;
    if (const auto mine = local_.find(profile_.name); mine != local_.end()) {
      std::vector<double> errors;
      std::set<std::string> tests;
      std::vector<CollectiveSample> large;
      for (const CollectiveSample& s : mine->second.rows) {
        if (s.size.count() < kLarge) continue;
        large.push_back(s);
        tests.emplace(sim::name(s.test));
      }
      for (const double error :
           link_errors(large, sim::NcclModel::make(cost, line.bytes_per_s(), std::nullopt, 1)))
        errors.push_back(std::abs(error));
      if (!errors.empty()) {
        check.predicted = errors.size();
        check.predicted_error = quantile(errors, 0.5);
        checked = fmt::format("; {} samples of this GPU ({}; {}) only check it, median error {:.1f} %",
                              errors.size(), join(tests, ", "), join(mine->second.citations),
                              100 * check.predicted_error);
      }
    }
    table = rounded(std::move(table));
    table.source = fmt::format(
        "assumed: shares and steps of {} at the line rate of the data sheet, copy rate by HBM bandwidth{}; "
        "{}",
        from, checked, local_source(from, local));
    report_fit("nvlink", check, sim::Evidence::kAssumed, table.source);
  }

  /// The cluster of this GPU that a fit of the network can use best; empty where there is none.
  std::string choose_cluster(const std::string& gpu) const {
    const auto found = over_.find(gpu);
    if (found == over_.end()) return "";
    std::string best;
    std::size_t most = 0;
    for (const auto& [cluster, group] : found->second) {
      const std::size_t gathers = group.usable(sim::NcclTest::kAllGather);
      if (gathers < kFewestGathers || (!options_.cluster.empty() && cluster != options_.cluster)) continue;
      const std::size_t usable = gathers + group.usable(sim::NcclTest::kSendRecv);
      if (usable > most) best = cluster;
      most = std::max(most, usable);
    }
    return best;
  }

  void fit_nic() {
    std::vector<std::string> order{profile_.name};
    for (const std::string& gpu : nearest(profile_.name)) order.push_back(gpu);
    for (const auto& [gpu, clusters] : over_) order.push_back(gpu);
    for (const std::string& gpu : order) {
      const auto found = over_.find(gpu);
      if (found == over_.end()) continue;
      for (const auto& [name, group] : found->second) {
        if (name != choose_cluster(gpu) || group.usable(sim::NcclTest::kAllGather) < kFewestGathers) continue;
        fit_nic_on(gpu, name, group);
        return;
      }
    }
    if (!options_.cluster.empty())
      throw base::InputError(fmt::format(
          "--cluster-id: found no {} all-gathers of 1 or 2 GPUs a node of cluster \"{}\" with a NIC rate, "
          "expected them to fit the NIC on",
          kFewestGathers, options_.cluster));
    report_.kept.emplace_back("links nic");
  }

  void fit_nic_on(const std::string& gpu, const std::string& cluster, const Group& group) {
    std::optional<NcclCost> local;
    if (can_fit_local(gpu)) {
      local = fit_local(gpu).fit.table.nccl;
    } else if (gpu == profile_.name) {
      local = profile_.links[kNvlink].nccl;
    }
    LinkFacts facts = facts_of(gpu);
    facts.nic_line = *group.nic;
    require_below_nic(group);
    const LinkFit fit = fit_network(group.rows, local, facts);
    LinkTable& table = profile_.links[kNic];
    table = rounded(fit.table);
    const bool own = gpu == profile_.name;
    sim::Evidence evidence = sim::Evidence::kMeasured;
    if (!own) {
      evidence = profile_.method == sim::TimingMethod::kNone ? sim::Evidence::kAssumed
                                                             : sim::Evidence::kExtrapolated;
      set_evidence(table, evidence);
    }
    std::set<int> nodes, ranks, send_nodes, send_ranks;
    for (const CollectiveSample& s : group.rows) {
      if (!is_link_fit_sample(s)) continue;
      const bool send = s.test == sim::NcclTest::kSendRecv;
      (send ? send_nodes : nodes).insert(s.group.nodes);
      (send ? send_ranks : ranks).insert(s.group.local);
    }
    std::string text =
        fmt::format("all-gathers over {} nodes of {} GPUs", count_list(nodes), count_list(ranks));
    if (!send_nodes.empty())
      text +=
          fmt::format(" and send/recv over {} nodes of {}", count_list(send_nodes), count_list(send_ranks));
    table.source = fmt::format("{}{}, {} of {:.4g} Gb/s a GPU: {} fitted{}", own ? "" : "as measured on ",
                               gpu, cluster_text(cluster), group.nic->gb_per_s() * kBitsPerByte, text,
                               figures_text(fit, group));
    report_fit("nic", fit, evidence, table.source);
  }

  sim::ProfileData& profile_;
  const FitOptions& options_;
  FitReport& report_;
  std::map<std::string, const DeviceFacts*> devices_;
  std::map<std::string, Group> local_;                        ///< by GPU
  std::map<std::string, std::map<std::string, Group>> over_;  ///< by GPU and cluster
  std::map<std::pair<std::string, std::string>, int> unstated_;
  bool any_ = false;
};

}  // namespace

void fit_link_section(sim::ProfileData& profile, const std::vector<Sample>& samples,
                      const FitOptions& options, FitReport& report) {
  LinkSection(profile, samples, options, report).run();
}

}  // namespace moeplan::calibrate
