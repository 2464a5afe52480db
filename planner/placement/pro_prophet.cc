#include "planner/placement/pro_prophet.h"

#include <algorithm>
#include <numeric>

#include "planner/placement/system_slots.h"

namespace moeplan::planner {

namespace {

constexpr double kAllToAlls = 4;
constexpr double kComputeRounds = 3;

/// Assignments of every GPU under some transfers.
struct Work {
  std::vector<double> done;      ///< H
  std::vector<double> received;  ///< R
};

double assignments_of(const LayerProblem& layer, int expert) {
  const double total = std::accumulate(layer.mean.begin(), layer.mean.end(), 0.0);
  if (total <= 0) return 0;
  return layer.mean[static_cast<std::size_t>(expert)] / total * layer.job.assignments * layer.shape.gpus;
}

int home_of(const LayerProblem& layer, int expert) { return expert / (layer.experts / layer.shape.gpus); }

Work share_out(const LayerProblem& layer, const std::vector<Transfer>& transfers) {
  const auto gpus = static_cast<std::size_t>(layer.shape.gpus);
  Work work{std::vector<double>(gpus, 0.0), std::vector<double>(gpus, 0.0)};
  for (int e = 0; e < layer.experts; ++e) {
    const double each = assignments_of(layer, e) / layer.shape.gpus;
    const auto home = static_cast<std::size_t>(home_of(layer, e));
    const auto moved =
        std::find_if(transfers.begin(), transfers.end(), [e](const Transfer& t) { return t.expert == e; });
    std::size_t elsewhere = 0;
    if (moved != transfers.end()) {
      for (const int g : moved->to) {
        if (static_cast<std::size_t>(g) == home) continue;
        work.done[static_cast<std::size_t>(g)] += each;
        ++elsewhere;
      }
    }
    work.done[home] += each * static_cast<double>(gpus - elsewhere);
    work.received[home] += each * static_cast<double>(gpus - elsewhere - 1);
  }
  return work;
}

double seconds_of(const LayerProblem& layer, const std::vector<Transfer>& transfers, const Work& work) {
  const SystemJob& job = layer.job;
  const double bandwidth = layer.shape.nodes() > 1 ? job.fabric_bytes_per_s : job.node_bytes_per_s;
  double holders = 0;
  for (const Transfer& t : transfers) holders += static_cast<double>(t.to.size());
  const double all_to_all =
      *std::max_element(work.received.begin(), work.received.end()) * job.token_bytes() / bandwidth;
  const double experts =
      *std::max_element(work.done.begin(), work.done.end()) * job.flops() / job.flops_per_s;
  const double transfer = holders / layer.shape.gpus * job.expert_bytes() / bandwidth;
  return kAllToAlls * all_to_all + kComputeRounds * experts + 2 * transfer;
}

/// The GPUs that get an expert: its home, then those with most free slots, `count` in all; empty = too few
/// have room.
std::vector<int> choose_holders(int home, int count, std::vector<int>& free) {
  std::vector<int> order(free.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    if ((a == home) != (b == home)) return a == home;
    return free[static_cast<std::size_t>(a)] > free[static_cast<std::size_t>(b)];
  });
  order.resize(static_cast<std::size_t>(count));
  if (order.size() > 1 && free[static_cast<std::size_t>(order.back())] == 0) return {};
  for (const int g : order) free[static_cast<std::size_t>(g)] -= g == home ? 0 : 1;
  return order;
}

struct Plan {
  std::vector<Transfer> transfers;
  double seconds = 0;
};

/// The best prefix with `left_out` GPUs left out of each transfer.
Plan plan_transfers(const LayerProblem& layer, int left_out) {
  const int home_slots = layer.experts / layer.shape.gpus;
  std::vector<int> free(static_cast<std::size_t>(layer.shape.gpus), layer.shape.slots_per_gpu - home_slots);
  std::vector<bool> moved(static_cast<std::size_t>(layer.experts), false);
  std::vector<Transfer> list;
  Work work = share_out(layer, list);
  Plan best{{}, seconds_of(layer, list, work)};
  while (true) {
    const auto busiest =
        static_cast<int>(std::max_element(work.done.begin(), work.done.end()) - work.done.begin());
    int heaviest = -1;
    for (int e = busiest * home_slots; e < (busiest + 1) * home_slots; ++e) {
      const auto i = static_cast<std::size_t>(e);
      if (!moved[i] && (heaviest < 0 || layer.mean[i] > layer.mean[static_cast<std::size_t>(heaviest)]))
        heaviest = e;
    }
    if (heaviest < 0) return best;
    std::vector<int> holders = choose_holders(busiest, layer.shape.gpus - left_out, free);
    if (holders.empty()) return best;
    moved[static_cast<std::size_t>(heaviest)] = true;
    list.push_back({heaviest, std::move(holders)});
    work = share_out(layer, list);
    const double seconds = seconds_of(layer, list, work);
    if (seconds < best.seconds) best = {list, seconds};
  }
}

class ProProphet : public PlacementSolver {
 public:
  std::string_view name() const override { return "pro_prophet"; }
  std::string find_refusal(const LayerProblem& layer) const override {
    return find_home_refusal(layer, "Pro-Prophet");
  }

  Slots solve(const LayerProblem& layer) const override {
    const int gpus = layer.shape.gpus;
    Plan best = {{}, pro_prophet_seconds(layer, {})};
    for (int left_out = 0; left_out <= gpus - 2; ++left_out) {
      Plan plan = plan_transfers(layer, left_out);
      if (plan.seconds < best.seconds) best = std::move(plan);
    }
    std::vector<std::vector<std::int32_t>> held(static_cast<std::size_t>(gpus));
    for (int e = 0; e < layer.experts; ++e) held[static_cast<std::size_t>(home_of(layer, e))].push_back(e);
    for (const Transfer& t : best.transfers) {
      for (const int g : t.to) {
        if (g != home_of(layer, t.expert)) held[static_cast<std::size_t>(g)].push_back(t.expert);
      }
    }
    return fill_slots(layer, std::move(held));
  }

  std::optional<double> own_cost(const LayerProblem& layer, const Slots& slots) const override {
    std::vector<Transfer> transfers;
    for (int e = 0; e < layer.experts; ++e) {
      Transfer t{e, {home_of(layer, e)}};
      for (int g = 0; g < layer.shape.gpus; ++g) {
        const auto first = slots.begin() + std::int64_t{g} * layer.shape.slots_per_gpu;
        const auto last = first + layer.shape.slots_per_gpu;
        if (g != t.to.front() && std::find(first, last, e) != last) t.to.push_back(g);
      }
      if (t.to.size() > 1) transfers.push_back(std::move(t));
    }
    return pro_prophet_seconds(layer, transfers);
  }
};

}  // namespace

double pro_prophet_seconds(const LayerProblem& layer, const std::vector<Transfer>& transfers) {
  return seconds_of(layer, transfers, share_out(layer, transfers));
}

std::unique_ptr<PlacementSolver> make_pro_prophet() { return std::make_unique<ProProphet>(); }

}  // namespace moeplan::planner
