#include "sim/cost/profile.h"

#include <fmt/format.h>

#include "base/check.h"
#include "sim/cost/attention_model.h"
#include "sim/cost/gemm_model.h"
#include "sim/cost/grouped_model.h"
#include "sim/cost/product_memo.h"
#include "sim/cost/profile_data.h"

namespace moeplan::sim {

/// What communication reads, at the link rate of the anchor.
struct Profile::Scaled {
  std::array<LinkTable, kLinkClasses> links;
  ExpertParallelTable expert_parallel;
};

Profile::Profile(ProfileData data) : data_(std::make_unique<const ProfileData>(std::move(data))), memo_(std::make_unique<ProductMemo>()) {
  if (!data_->anchor || data_->anchor->link_rate.factor == 1.0) return;
  const double factor = data_->anchor->link_rate.factor;
  auto scaled = std::make_unique<Scaled>();
  for (std::size_t c = 0; c < data_->links.size(); ++c) scaled->links[c] = scale_rates(data_->links[c], factor);
  scaled->expert_parallel = scale_rates(data_->expert_parallel, factor);
  scaled_ = std::move(scaled);
}
Profile::~Profile() = default;
Profile::Profile(Profile&&) noexcept = default;
Profile& Profile::operator=(Profile&&) noexcept = default;

const std::string& Profile::name() const { return data_->name; }
const std::string& Profile::gpu() const { return data_->gpu; }
const std::string& Profile::provenance() const { return data_->provenance; }

base::FlopsPerSecond Profile::peak(NumberFormat format) const {
  return data_->peak[static_cast<std::size_t>(format)];
}

Profile Profile::at_sustained_clocks() const {
  ProfileData data = *data_;
  if (data.sustained) data.method = TimingMethod::kSustained;
  return Profile(std::move(data));
}

bool Profile::is_sustained() const { return data_->is_sustained(); }

base::BytesPerSecond Profile::hbm_bandwidth() const { return data_->hbm_bandwidth; }
base::Bytes Profile::memory() const { return data_->memory; }
int Profile::sm_count() const { return data_->sm_count; }
double Profile::clock_mhz() const { return data_->clock_mhz; }
base::Seconds Profile::launch_overhead() const { return data_->launch_overhead; }
base::Seconds Profile::linear_overhead() const { return data_->linear_overhead; }
double Profile::framework_share() const { return data_->framework_share; }
base::Seconds Profile::host_sync() const { return data_->host_sync; }

Estimate Profile::gemm(const GemmShape& shape) const {
  const auto& table = data_->gemm[static_cast<std::size_t>(shape.format)];
  MOEPLAN_CHECK(table.has_value(),
                fmt::format("{} has no {} GEMM; ask supports() first", data_->name, sim::name(shape.format)));
  return gemm_time(*data_, *table, shape);
}

Estimate Profile::grouped_gemm(std::span<const std::int64_t> tokens_per_expert, std::int64_t n,
                               std::int64_t k, NumberFormat format, GemmPass pass, GroupedKernel kernel,
                               WeightResult result) const {
  if (kernel == GroupedKernel::kPerExpert) return per_expert(tokens_per_expert, n, k, format, pass, result);
  const auto& kernels = data_->grouped[static_cast<std::size_t>(format)];
  const auto& asked = kernels[static_cast<std::size_t>(kernel)];
  const auto& table = asked ? asked : kernels[static_cast<std::size_t>(GroupedKernel::kDefault)];
  MOEPLAN_CHECK(table.has_value(), fmt::format("{} has no {} grouped GEMM; ask supports() first", data_->name,
                                               sim::name(format)));
  return grouped_gemm_time(*data_, *table, tokens_per_expert, n, k, pass, result);
}

Estimate Profile::per_expert(std::span<const std::int64_t> tokens_per_expert, std::int64_t n, std::int64_t k,
                             NumberFormat format, GemmPass pass, WeightResult result) const {
  const auto& table = data_->gemm[static_cast<std::size_t>(format)];
  ProductMemo::Rows& known = memo_->rows_of({n, k, format, pass, result});
  Estimate sum;
  std::int64_t before = -1;
  Estimate one;
  for (const std::int64_t t : tokens_per_expert) {
    if (t <= 0) continue;
    if (t != before) {
      one = known.at(t, [&] {
        GemmShape shape{t, n, k, format, pass, result};
        if (pass == GemmPass::kDataGradient) std::swap(shape.n, shape.k);
        if (pass == GemmPass::kWeightGradient) shape = {k, n, t, format, pass, result};
        return gemm(shape);
      });
      before = t;
    }
    Estimate next = one;
    // The launches of the other experts hide behind the products that run.
    if (sum.time > base::Seconds() && table)
      next.time = base::max(base::Seconds(), one.time - base::Seconds::of(table->launch_s));
    sum += next;
  }
  return sum;
}

Estimate Profile::attention(const AttentionShape& shape, AttentionPass pass) const {
  return attention_time(*data_, shape, pass);
}

Estimate Profile::memory_op(MemoryOp op, base::Bytes moved) const {
  if (moved.count() <= 0) return {};
  const MemoryOpCost& cost = data_->memory_ops[static_cast<std::size_t>(op)];
  const double seconds =
      data_->memory_floor_s + moved.as_double() / (data_->hbm_bandwidth.bytes_per_s() * cost.share);
  return {base::Seconds::of(seconds), data_->memory_low, data_->memory_high, cost.evidence};
}

const LinkTable& Profile::link(LinkClass link) const {
  return (scaled_ ? scaled_->links : data_->links)[static_cast<std::size_t>(link)];
}

const ExpertParallelTable& Profile::expert_parallel() const {
  return scaled_ ? scaled_->expert_parallel : data_->expert_parallel;
}

const CommEfficiency& Profile::comm(LinkClass link, CollectiveKind kind) const {
  return this->link(link).collectives[static_cast<std::size_t>(kind)];
}

}  // namespace moeplan::sim
