#include "report/explain/step_account.h"

#include <algorithm>

namespace moeplan::report {

namespace {

using base::Seconds;

constexpr double kPicosecond = 1e-12;
constexpr auto kIdle = static_cast<std::size_t>(OperationClass::kIdle);

std::size_t index(OperationClass operation) { return static_cast<std::size_t>(operation); }

/// A start or an end.
struct Edge {
  std::int64_t at = 0;
  std::size_t operation = 0;
  int change = 0;
};

/// What runs at a moment.
class Running {
 public:
  void change(const Edge& edge) {
    count_[edge.operation] += edge.change;
    (is_communication(static_cast<OperationClass>(edge.operation)) ? communication_ : compute_) +=
        edge.change;
  }
  void charge(double seconds, StepAccount& account, std::array<double, kOperationClasses>& own) const {
    if (compute_ + communication_ == 0) {
      own[kIdle] += seconds;
      return;
    }
    const bool computes = compute_ > 0;
    const double share = seconds / (computes ? compute_ : communication_);
    for (std::size_t c = 0; c < count_.size(); ++c) {
      if (count_[c] > 0 && is_communication(static_cast<OperationClass>(c)) != computes)
        own[c] += share * count_[c];
    }
    if (communication_ > 0) (computes ? account.hidden : account.exposed) += Seconds::of(seconds);
  }

 private:
  std::array<int, kOperationClasses> count_{};
  int compute_ = 0, communication_ = 0;
};

void charge_all(const std::vector<OperationInterval>& intervals, std::int64_t length, StepAccount& account) {
  std::vector<Edge> edges;
  edges.reserve(2 * intervals.size());
  for (const OperationInterval& i : intervals) {
    const std::int64_t start = std::clamp<std::int64_t>(i.start, 0, length);
    const std::int64_t end = std::clamp<std::int64_t>(i.end, start, length);
    if (start == end || i.operation == OperationClass::kIdle) continue;
    edges.push_back({start, index(i.operation), 1});
    edges.push_back({end, index(i.operation), -1});
  }
  std::stable_sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    return a.at != b.at ? a.at < b.at
                        : (a.change != b.change ? a.change < b.change : a.operation < b.operation);
  });
  std::array<double, kOperationClasses> own{};
  Running running;
  std::int64_t now = 0;
  for (const Edge& edge : edges) {
    if (edge.at > now) running.charge(static_cast<double>(edge.at - now) * kPicosecond, account, own);
    now = edge.at;
    running.change(edge);
  }
  running.charge(static_cast<double>(length - now) * kPicosecond, account, own);
  for (std::size_t c = 0; c < own.size(); ++c) account.classes[c].own = Seconds::of(own[c]);
}

}  // namespace

StepAccount account_step(const std::vector<OperationInterval>& intervals, std::int64_t length) {
  StepAccount account;
  account.step = Seconds::of(static_cast<double>(length) * kPicosecond);
  charge_all(intervals, length, account);
  std::array<std::vector<double>, kOperationClasses> calls;
  for (const OperationInterval& i : intervals) {
    if (i.start < 0 || i.start >= length) continue;
    const double time = static_cast<double>(i.end - i.start) * kPicosecond;
    ClassTime& sum = account.at(i.operation);
    sum.busy += Seconds::of(time);
    sum.low += Seconds::of(time * i.low);
    sum.high += Seconds::of(time * i.high);
    if (i.part) {
      account.has_parts = true;
      account.busy_of_part[static_cast<std::size_t>(*i.part)][index(i.operation)] += time;
    }
    if (i.layer >= 0 && i.operation != OperationClass::kIdle) {
      if (account.busy_of_layer.size() <= static_cast<std::size_t>(i.layer))
        account.busy_of_layer.resize(static_cast<std::size_t>(i.layer) + 1);
      account.busy_of_layer[static_cast<std::size_t>(i.layer)] += time;
    }
    if (i.auxiliary) continue;
    ++sum.calls;
    calls[index(i.operation)].push_back(time);
  }
  for (std::size_t c = 0; c < calls.size(); ++c) {
    if (calls[c].empty()) continue;
    const auto tenth = calls[c].begin() + static_cast<std::ptrdiff_t>(calls[c].size() / 10);
    std::nth_element(calls[c].begin(), tenth, calls[c].end());
    account.classes[c].fastest = Seconds::of(*tenth);
  }
  return account;
}

void StepAccount::merge(OperationClass a, OperationClass b, OperationClass into) {
  ClassTime sum;
  double fastest = 0;
  for (const OperationClass part : {a, b, into}) {
    const ClassTime& time = at(part);
    sum.busy += time.busy;
    sum.own += time.own;
    sum.low += time.low;
    sum.high += time.high;
    sum.calls += time.calls;
    if (time.calls > 0) fastest = fastest > 0 ? std::min(fastest, time.fastest.s()) : time.fastest.s();
  }
  sum.fastest = Seconds::of(fastest);
  for (const OperationClass part : {a, b}) at(part) = {};
  at(into) = sum;
  for (auto& busy : busy_of_part) {
    busy[index(into)] += busy[index(a)] + busy[index(b)];
    busy[index(a)] = busy[index(b)] = 0;
  }
}

namespace {

/// The sum of several steps over `n`; the fastest calls are averaged.
StepAccount scaled_sum(const std::vector<StepAccount>& steps, std::int64_t count) {
  StepAccount mean;
  const auto n = static_cast<double>(count);
  for (const StepAccount& step : steps) {
    mean.step += step.step / n;
    mean.exposed += step.exposed / n;
    mean.hidden += step.hidden / n;
    mean.has_parts = mean.has_parts || step.has_parts;
    for (std::size_t c = 0; c < mean.classes.size(); ++c) {
      ClassTime& sum = mean.classes[c];
      const ClassTime& time = step.classes[c];
      sum.busy += time.busy / n;
      sum.own += time.own / n;
      sum.low += time.low / n;
      sum.high += time.high / n;
      sum.calls += time.calls;
      sum.fastest += time.fastest / static_cast<double>(steps.size());
      for (std::size_t p = 0; p < mean.busy_of_part.size(); ++p)
        mean.busy_of_part[p][c] += step.busy_of_part[p][c] / n;
    }
    if (mean.busy_of_layer.size() < step.busy_of_layer.size())
      mean.busy_of_layer.resize(step.busy_of_layer.size());
    for (std::size_t l = 0; l < step.busy_of_layer.size(); ++l)
      mean.busy_of_layer[l] += step.busy_of_layer[l] / n;
  }
  for (ClassTime& sum : mean.classes) sum.calls = (sum.calls + count / 2) / count;
  return mean;
}

}  // namespace

StepAccount mean_of(const std::vector<StepAccount>& steps) {
  return scaled_sum(steps, static_cast<std::int64_t>(steps.size()));
}

StepAccount share_of(const StepAccount& whole, int count) { return scaled_sum({whole}, count); }

}  // namespace moeplan::report
