#include "sim/schedule/segment.h"

#include <cmath>
#include <numeric>

namespace moeplan::sim {

std::string_view name(TimeClass time_class) {
  switch (time_class) {
    case TimeClass::kGemm:
      return "gemm";
    case TimeClass::kAttention:
      return "attention";
    case TimeClass::kMemory:
      return "memory";
    case TimeClass::kTpComm:
      return "tp";
    case TimeClass::kDispatch:
      return "dispatch";
    case TimeClass::kCombine:
      return "combine";
    case TimeClass::kHost:
      return "host";
    case TimeClass::kP2p:
      return "p2p";
    case TimeClass::kGradient:
      return "dp";
    case TimeClass::kGather:
      return "gather";
    case TimeClass::kOptimizer:
      return "optimizer";
    case TimeClass::kHostCopy:
      return "host copy";
  }
  return "";
}

bool is_compute(TimeClass time_class) {
  return time_class == TimeClass::kGemm || time_class == TimeClass::kAttention ||
         time_class == TimeClass::kMemory;
}

double shared_error(TimeClass time_class) {
  constexpr double kProducts = 0.16;
  return time_class == TimeClass::kGemm ? kProducts : 1.0;
}

void CostSum::add(TimeClass time_class, const Estimate& estimate, double factor) {
  const double t = estimate.time.s() * factor;
  const auto c = static_cast<std::size_t>(time_class);
  const double half = 0.5 * t * (estimate.high - estimate.low);
  by_class[c] += t;
  by_evidence[static_cast<std::size_t>(estimate.evidence)] += t;
  half_width[c] += half;
  independent[c] = std::hypot(independent[c], half);
  shift += t * (0.5 * (estimate.low + estimate.high) - 1.0);
}

void CostSum::add(const CostSum& other, double factor) {
  for (std::size_t c = 0; c < by_class.size(); ++c) by_class[c] += other.by_class[c] * factor;
  for (std::size_t e = 0; e < by_evidence.size(); ++e) by_evidence[e] += other.by_evidence[e] * factor;
  for (std::size_t c = 0; c < half_width.size(); ++c) {
    half_width[c] += other.half_width[c] * factor;
    independent[c] += other.independent[c] * factor;
  }
  shift += other.shift * factor;
}

double CostSum::total() const { return std::accumulate(by_class.begin(), by_class.end(), 0.0); }

double CostSum::width() const {
  double square = 0.0;
  for (std::size_t c = 0; c < half_width.size(); ++c) {
    const double shared = shared_error(static_cast<TimeClass>(c));
    square += shared * half_width[c] * half_width[c] + (1.0 - shared) * independent[c] * independent[c];
  }
  return std::sqrt(square);
}

Estimate CostSum::estimate() const {
  Estimate sum;
  const double t = total();
  sum.time = base::Seconds::of(t);
  if (t <= 0.0) return sum;
  sum.low = low() / t;
  sum.high = high() / t;
  for (std::size_t e = 0; e < by_evidence.size(); ++e)
    if (by_evidence[e] > 0.0) sum.evidence = static_cast<Evidence>(e);
  return sum;
}

double CostSum::compute() const {
  return at(TimeClass::kGemm) + at(TimeClass::kAttention) + at(TimeClass::kMemory);
}

double CostSum::comm() const {
  return at(TimeClass::kTpComm) + at(TimeClass::kDispatch) + at(TimeClass::kCombine) + at(TimeClass::kP2p) +
         at(TimeClass::kGradient) + at(TimeClass::kHostCopy);
}

void Segment::add(std::string_view name, TimeClass time_class, const Estimate& estimate) {
  add({name, time_class, estimate});
}

void Segment::add(const Part& part) {
  if (part.estimate.time <= base::Seconds()) return;
  parts_.push_back(part);
  cost_.add(part.time_class, part.estimate);
  time_ += part.estimate.time.s();
  host_ += part.host;
  if (part.name == kLaunchWait) wait_ += part.estimate.time;
  if (part.name == kHostSync) syncs_ = true;
}

void Segment::add_weight_gradient(std::string_view name, const Estimate& estimate, const Estimate& hidden) {
  add({name, TimeClass::kGemm, estimate, true, hidden});
}

void Segment::append(const Segment& other) {
  for (const Part& part : other.parts_) add(part);
  calls_ += other.calls_;
}

void Segment::add_launch_wait(const std::vector<base::Seconds>& host) {
  host_ = {};
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].host = i < host.size() ? host[i] : base::Seconds();
    host_ += parts_[i].host;
  }
  wait_for_launches();
}

void Segment::wait_for_launches() {
  if (host_.s() > time_)
    add(kLaunchWait, TimeClass::kHost, exactly(base::Seconds::of(host_.s() - time_), Evidence::kAssumed));
}

BackwardSegment::BackwardSegment(Segment segment) : whole(std::move(segment)) { whole.split(input, weight); }

void Segment::split(Segment& input, Segment& weight) const {
  for (const Part& part : parts_) {
    if (part.name == kLaunchWait) continue;
    (part.weight_gradient ? weight : input).add(part);
    if (part.weight_gradient) input.add("tp reduce-scatter", TimeClass::kTpComm, part.hidden);
  }
  input.wait_for_launches();
  weight.wait_for_launches();
}

}  // namespace moeplan::sim
