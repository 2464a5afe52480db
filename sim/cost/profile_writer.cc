#include "sim/cost/profile_writer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/json_writer.h"
#include "base/quantity_text.h"

namespace moeplan::sim {

namespace {

constexpr std::size_t kLineWidth = 108;
constexpr int kMostDigits = 17;  // that tell any two doubles apart

std::string number(double x) {
  if (x == 0.0) return "0";
  return fmt::format("{}", x);
}

/// `value` in a unit of `factor`, with the fewest digits that `parse` reads back to the same value; in the
/// base unit where no number of digits does.
template <class Quantity, class Parse>
std::string in_unit(Quantity value, double in_base, double factor, std::string_view unit, Parse parse) {
  if (in_base == 0.0) return fmt::format("0 {}", unit);
  for (int digits = 1; digits <= kMostDigits; ++digits) {
    const std::string text = fmt::format("{:.{}g}", in_base / factor, digits);
    const std::string whole = fmt::format("{} {}", number(std::strtod(text.c_str(), nullptr)), unit);
    const auto parsed = parse(whole);
    if (parsed.value && *parsed.value == value) return whole;
  }
  return base::format(value);
}

std::string microseconds(double seconds) {
  return in_unit(base::Seconds::of(seconds), seconds, 1e-6, "us", base::parse_seconds);
}
std::string rate_text(base::BytesPerSecond rate, double factor, std::string_view unit) {
  return in_unit(rate, rate.bytes_per_s(), factor, unit, base::parse_bytes_per_second);
}
std::string flops_text(base::FlopsPerSecond rate) {
  return in_unit(rate, rate.flops_per_s(), 1e12, "TFLOP/s", base::parse_flops_per_second);
}
/// As nvidia-smi prints memory, in MiB where it is whole.
std::string memory_text(base::Bytes bytes) {
  constexpr std::int64_t kMib = 1 << 20;
  if (bytes.count() % kMib == 0) return fmt::format("{} MiB", bytes.count() / kMib);
  return base::format(bytes);
}

std::string list(const std::vector<double>& values) {
  std::string text = "[";
  for (const double value : values) text += (text.size() > 1 ? ", " : "") + number(value);
  return text + "]";
}
std::string list(const Interval& ends) { return list(std::vector<double>{ends.low, ends.high}); }

/// YAML lines with two spaces a level.
class Text {
 public:
  void add(int level, std::string_view line) {
    text_.append(static_cast<std::size_t>(level) * 2, ' ').append(line).push_back('\n');
  }
  void field(int level, std::string_view key, std::string_view value) {
    add(level, fmt::format("{}: {}", key, value));
  }
  void quoted(int level, std::string_view key, std::string_view value) {
    field(level, key, base::json_quote(value));
  }
  /// key: [ ... ] over as many lines as it takes.
  void array(int level, std::string_view key, const std::vector<double>& values) {
    std::string line = std::string(static_cast<std::size_t>(level) * 2, ' ') + fmt::format("{}: [", key);
    const std::string pad(static_cast<std::size_t>(level) * 2 + 2, ' ');
    bool first = true;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string word = number(values[i]) + (i + 1 == values.size() ? "]" : ",");
      if (line.size() + 1 + word.size() > kLineWidth) {
        text_ += line + "\n";
        line = pad + word;
      } else {
        line += (first ? "" : " ") + word;
      }
      first = false;
    }
    text_ += line + (values.empty() ? "]\n" : "\n");
  }
  std::string take() { return std::exchange(text_, {}); }

 private:
  std::string text_;
};

void write_residuals(Text& out, int level, std::string_view key, const std::optional<Residuals>& r) {
  if (!r) return;
  const std::string p95 = r->p95_error > 0.0 ? fmt::format("p95_error: {}, ", number(r->p95_error)) : "";
  out.field(level, key,
            fmt::format("{{shapes: {}, p05: {}, p50: {}, p95: {}, median_error: {}, mean_error: {}, "
                        "p90_error: {}, {}worst_error: {}}}",
                        r->shapes, number(r->p05), number(r->p50), number(r->p95), number(r->median_error),
                        number(r->mean_error), number(r->p90_error), p95, number(r->worst_error)));
}

void write_origin(Text& out, int level, const TableOrigin& origin) {
  out.field(level, "evidence", name(origin.evidence));
  out.quoted(level, "source", origin.source);
  if (!origin.software.empty()) out.quoted(level, "software", origin.software);
  write_residuals(out, level, "fitted", origin.fitted);
  write_residuals(out, level, "left_out", origin.left_out);
  out.field(level, "band",
            fmt::format("{{edges_us: {}, low: {}, high: {}}}", list(origin.band.edges_us),
                        list(origin.band.low), list(origin.band.high)));
}

void write_clock(Text& out, int level, const std::optional<ClockDrop>& clock) {
  if (!clock) return;
  out.field(level, "clock",
            fmt::format("{{share: {}, after: {}}}", number(clock->share), microseconds(clock->after_s)));
}

void write_tiles(Text& out, int level, const std::vector<TileEfficiency>& tiles) {
  out.add(level, "tiles:");
  for (const TileEfficiency& tile : tiles)
    out.add(level + 1,
            fmt::format("- {{m: {}, n: {}, efficiency: {}}}", tile.m, tile.n, number(tile.efficiency)));
}

std::string factor_text(const PassFactor& factor) {
  return fmt::format("relative_efficiency: {}, low: {}, high: {}, evidence: {}",
                     number(factor.relative_efficiency), number(factor.low), number(factor.high),
                     name(factor.evidence));
}

void write_passes(Text& out, const std::array<PassFactor, kGemmPasses>& passes, const std::string& source) {
  out.add(1, "passes:");
  out.quoted(2, "source", source);
  for (const GemmPass pass : {GemmPass::kDataGradient, GemmPass::kWeightGradient})
    out.field(2, name(pass), fmt::format("{{{}}}", factor_text(passes[static_cast<std::size_t>(pass)])));
}

void write_like(Text& out, NumberFormat format, NumberFormat like, const TableOrigin& origin) {
  out.add(2, fmt::format("- format: {}", name(format)));
  out.field(3, "like", name(like));
  write_origin(out, 3, origin);
}

void write_gemm_table(Text& out, const GemmTable& table) {
  out.add(2, fmt::format("- format: {}", name(table.format)));
  write_origin(out, 3, table.origin);
  if (table.m != Interval{} || table.n != Interval{} || table.k != Interval{})
    out.field(3, "range",
              fmt::format("{{m: {}, n: {}, k: {}}}", list(table.m), list(table.n), list(table.k)));
  if (table.beyond)
    out.field(3, "beyond",
              fmt::format("{{m: {}, growth: {}}}", number(table.beyond->m), number(table.beyond->growth)));
  out.field(3, "launch", microseconds(table.launch_s));
  out.field(3, "wave_overhead", microseconds(table.wave_overhead_s));
  out.field(3, "split_overhead", microseconds(table.split_overhead_s));
  out.field(3, "memory_efficiency", number(table.memory_efficiency));
  if (table.tail_recovered > 0.0) out.field(3, "tail_recovered", number(table.tail_recovered));
  if (table.spill_slowdown > 0.0) out.field(3, "spill_slowdown", number(table.spill_slowdown));
  if (table.store_exposed > 0.0) out.field(3, "store_exposed", number(table.store_exposed));
  write_tiles(out, 3, table.tiles);
  write_clock(out, 3, table.clock);
  if (table.quantise) {
    const std::string share =
        table.quantise->l2_share < 1.0 ? fmt::format(", l2_share: {}", number(table.quantise->l2_share)) : "";
    out.field(3, "quantise",
              fmt::format("{{fixed: {}, bytes_per_element: {}{}}}", microseconds(table.quantise->fixed_s),
                          number(table.quantise->bytes_per_element), share));
  }
  if (!table.correction) return;
  const GemmCorrection& grid = *table.correction;
  out.add(3, "correction:");
  out.array(4, "m", grid.m.nodes());
  out.array(4, "n", grid.n.nodes());
  out.array(4, "k_coarse", grid.k_coarse.nodes());
  out.array(4, "n_coarse", grid.n_coarse.nodes());
  out.array(4, "by_m_n", grid.by_m_n);
  out.array(4, "by_m_k", grid.by_m_k);
  out.array(4, "by_n_k", grid.by_n_k);
}

void write_grouped_table(Text& out, const GroupedTable& table) {
  out.add(2, fmt::format("- format: {}", name(table.format)));
  out.field(3, "kernel", name(table.kernel));
  out.field(3, "default", table.is_default ? "true" : "false");
  write_origin(out, 3, table.origin);
  if (table.rows != Interval{} || table.area != Interval{})
    out.field(3, "range", fmt::format("{{rows: {}, area: {}}}", list(table.rows), list(table.area)));
  out.field(3, "launch", microseconds(table.launch_s));
  out.field(3, "wave_overhead", microseconds(table.wave_overhead_s));
  out.field(3, "memory_efficiency", number(table.memory_efficiency));
  if (table.reread_share > 0.0) out.field(3, "reread_share", number(table.reread_share));
  write_tiles(out, 3, table.tiles);
  write_clock(out, 3, table.clock);
  out.field(
      3, "operation",
      fmt::format("{{fixed: {}, floor: {}, activation_efficiency: {}, move_efficiency: {}}}",
                  microseconds(table.operation.fixed_s), microseconds(table.operation.floor_s),
                  number(table.operation.activation_efficiency), number(table.operation.move_efficiency)));
  if (!table.correction) return;
  const GroupedCorrection& grid = *table.correction;
  out.add(3, "correction:");
  out.array(4, "tokens", grid.tokens.nodes());
  out.array(4, "area", grid.area.nodes());
  out.array(4, "work", grid.work.nodes());
  out.array(4, "by_tokens_work", grid.by_tokens_work);
  out.array(4, "by_area", grid.by_area);
}

/// Writes the tables that are like another, each after the one that it stands on.
template <class Slots, class Like>
void write_likes(Text& out, const Slots& slots, std::array<bool, kNumberFormats> written, Like like_of) {
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t i = 0; i < kNumberFormats; ++i) {
      const auto& table = like_of(slots[i]);
      if (written[i] || !table || !table->like || !written[static_cast<std::size_t>(*table->like)]) continue;
      write_like(out, table->format, *table->like, table->origin);
      written[i] = moved = true;
    }
  }
  for (std::size_t i = 0; i < kNumberFormats; ++i)
    MOEPLAN_CHECK(written[i] || !like_of(slots[i]), "a table is like one that is not there");
}

void write_gemm(Text& out, const ProfileData& data) {
  out.add(0, "gemm:");
  write_passes(out, data.gemm_passes, data.gemm_pass_source);
  if (data.sums) {
    out.add(1, "weight_sums:");
    out.quoted(2, "source", data.sums->source);
    out.field(2, "share", number(data.sums->share));
    out.field(2, "exposed", number(data.sums->exposed));
    out.field(2, "evidence", name(data.sums->evidence));
  }
  out.add(1, "tables:");
  std::array<bool, kNumberFormats> written{};
  for (std::size_t i = 0; i < kNumberFormats; ++i) {
    if (!data.gemm[i] || data.gemm[i]->like) continue;
    write_gemm_table(out, *data.gemm[i]);
    written[i] = true;
  }
  write_likes(
      out, data.gemm, written, [](const auto& slot) -> const auto& { return slot; });
}

void write_grouped(Text& out, const ProfileData& data) {
  out.add(0, "grouped_gemm:");
  write_passes(out, data.grouped_passes, data.grouped_pass_source);
  out.add(1, "tables:");
  constexpr auto kDefaultSlot = static_cast<std::size_t>(GroupedKernel::kDefault);
  std::array<bool, kNumberFormats> written{};
  for (std::size_t i = 0; i < kNumberFormats; ++i) {
    for (std::size_t kernel = kDefaultSlot + 1; kernel < kGroupedKernels; ++kernel) {
      const auto& table = data.grouped[i][kernel];
      if (!table) continue;
      write_grouped_table(out, *table);
      written[i] = written[i] || table->is_default;
    }
  }
  write_likes(
      out, data.grouped, written, [](const auto& slot) -> const auto& { return slot[kDefaultSlot]; });
}

void write_attention(Text& out, const AttentionTable& table) {
  out.add(0, "attention:");
  write_origin(out, 1, table.origin);
  out.field(1, "launch", microseconds(table.launch_s));
  out.field(1, "efficiency", number(table.efficiency));
  out.field(1, "tail", number(table.tail));
  out.field(1, "prepare_efficiency", number(table.prepare_efficiency));
  if (table.softmax_dim > 0.0) out.field(1, "softmax_dim", number(table.softmax_dim));
  out.field(
      1, "backward",
      fmt::format("{{flop_ratio: {}, {}}}", number(table.backward_flop_ratio), factor_text(table.backward)));
  if (table.backward_unlike)
    out.field(1, "backward_unlike", fmt::format("{{{}}}", factor_text(*table.backward_unlike)));
  out.quoted(1, "backward_source", table.backward_source);
  if (!table.correction) return;
  const AttentionCorrection& grid = *table.correction;
  out.add(1, "correction:");
  out.array(2, "dim", grid.dim.nodes());
  out.array(2, "seq", grid.seq.nodes());
  out.array(2, "heads", grid.heads.nodes());
  out.array(2, "group", grid.group.nodes());
  out.array(2, "by_dim_seq_heads", grid.by_dim_seq_heads);
  out.array(2, "by_dim_group", grid.by_dim_group);
}

void write_memory_ops(Text& out, const ProfileData& data) {
  out.add(0, "memory_ops:");
  out.field(1, "floor", microseconds(data.memory_floor_s));
  out.quoted(1, "source", data.memory_source);
  out.field(1, "band",
            fmt::format("{{low: {}, high: {}}}", number(data.memory_low), number(data.memory_high)));
  out.add(1, "efficiency:");
  for (int i = 0; i < kMemoryOps; ++i) {
    const MemoryOpCost& cost = data.memory_ops[static_cast<std::size_t>(i)];
    const std::string source = cost.source.empty() ? "" : fmt::format(", source: \"{}\"", cost.source);
    out.field(2, name(static_cast<MemoryOp>(i)),
              fmt::format("{{share: {}, evidence: {}{}}}", number(cost.share), name(cost.evidence), source));
  }
}

std::string numbers_of(const std::array<double, NcclBand::kClasses>& values) {
  return list(std::vector<double>(values.begin(), values.end()));
}

void write_nccl(Text& out, const NcclCost& cost) {
  out.add(2, "nccl:");
  out.field(3, "channel_rate", rate_text(cost.channel_rate, 1e9, "GB/s"));
  out.field(3, "copy_rate", rate_text(cost.copy_rate, 1e9, "GB/s"));
  if (cost.connection_share != 1.0) out.field(3, "connection_share", number(cost.connection_share));
  if (cost.nvls_channels > 0) {
    std::string nvls =
        fmt::format("efficiency: {}, channels: {}", number(cost.nvls_efficiency), cost.nvls_channels);
    if (cost.nvls_tree_near_rate.bytes_per_s() > 0)
      nvls += fmt::format(", tree: {{near: {}, far: {}}}", rate_text(cost.nvls_tree_near_rate, 1e9, "GB/s"),
                          rate_text(cost.nvls_tree_far_rate, 1e9, "GB/s"));
    out.field(3, "nvls", fmt::format("{{{}}}", nvls));
  }
  out.add(3, "protocols:");
  for (const auto& [key, protocol] : {std::pair("ll", NcclProtocol::kLl),
                                      {"ll128", NcclProtocol::kLl128},
                                      {"simple", NcclProtocol::kSimple}}) {
    const NcclProtocolCost& p = cost.of(protocol);
    out.field(4, key,
              fmt::format("{{start: {}, step: {}, share: {}}}", microseconds(p.start.s()),
                          microseconds(p.step.s()), number(p.share)));
  }
  out.add(3, "bands:  # below 1 MiB, 32 MiB, 256 MiB and above");
  for (int c = 0; c < kCollectiveKinds; ++c) {
    const NcclBand& band = cost.bands[static_cast<std::size_t>(c)];
    out.field(4, name(static_cast<CollectiveKind>(c)),
              fmt::format("{{low: {}, high: {}}}", numbers_of(band.low), numbers_of(band.high)));
  }
}

void write_interference(Text& out, const Interference& interference) {
  if (interference == Interference{}) return;
  out.add(0, "interference:");
  out.field(1, "evidence", name(interference.evidence));
  out.quoted(1, "source", interference.source);
  out.field(1, "nccl_sms", fmt::format("{}", interference.nccl_sms));
  out.field(1, "hbm_touches", number(interference.hbm_touches));
}

void write_links(Text& out, const ProfileData& data) {
  out.add(0, "links:");
  for (int i = 0; i < kLinkClasses; ++i) {
    const LinkTable& table = data.links[static_cast<std::size_t>(i)];
    if (!table.present) continue;
    out.add(1, fmt::format("- class: {}", name(static_cast<LinkClass>(i))));
    out.field(2, "line_rate", rate_text(table.line_rate, 1e9, "GB/s"));
    out.quoted(2, "source", table.source);
    out.add(2, "collectives:");
    for (int c = 0; c < kCollectiveKinds; ++c) {
      const CommEfficiency& comm = table.collectives[static_cast<std::size_t>(c)];
      out.field(3, name(static_cast<CollectiveKind>(c)),
                fmt::format("{{fraction: {}, base_latency: {}, per_step: {}, half_size: {} B, low: {}, "
                            "high: {}, evidence: {}}}",
                            number(comm.bandwidth_fraction), microseconds(comm.base_latency.s()),
                            microseconds(comm.per_step.s()), comm.half_size.count(), number(comm.low),
                            number(comm.high), name(comm.evidence)));
    }
    if (table.nccl) write_nccl(out, *table.nccl);
  }
}

/// Only where it is not what is published of the GPU, which a reader finds by itself.
void write_host_copy(Text& out, const ProfileData& data) {
  if (!data.host_copy || data.host_copy == published_host_copy(data.name)) return;
  const HostCopy& copy = *data.host_copy;
  out.add(0, "host_copy:");
  out.field(1, "evidence", name(copy.evidence));
  out.quoted(1, "source", copy.source);
  out.field(1, "to_host", rate_text(copy.to_host, 1e9, "GB/s"));
  out.field(1, "to_device", rate_text(copy.to_device, 1e9, "GB/s"));
  out.field(1, "shared_by", fmt::format("{}", copy.shared_by));
  out.field(1, "low", number(copy.low));
  out.field(1, "high", number(copy.high));
}

void write_key(Text& out, const ProfileData& data) {
  out.add(0, "schema: moeplan.profile/1");
  out.quoted(0, "name", data.name);
  out.quoted(0, "gpu", data.gpu);
  out.field(0, "power_limit_w", number(data.power_limit_w));
  if (!data.software.empty()) out.quoted(0, "software", data.software);
  out.field(0, "method", name(data.method));
  out.quoted(0, "timing", data.timing);
  if (!data.sustained) return;
  const SustainedFactor& factor = *data.sustained;
  out.add(0, "sustained:");
  out.field(1, "compute_factor", number(factor.compute_factor));
  out.field(1, "low", number(factor.low));
  out.field(1, "high", number(factor.high));
  out.quoted(1, "source", factor.source);
  out.field(1, "evidence", name(factor.evidence));
}

void write_device(Text& out, const ProfileData& data) {
  out.add(0, "device:");
  out.quoted(1, "source", data.device_source);
  out.field(1, "sm_count", fmt::format("{}", data.sm_count));
  out.field(1, "clock_mhz", number(data.clock_mhz));
  out.field(1, "hbm_bandwidth", rate_text(data.hbm_bandwidth, 1e12, "TB/s"));
  out.field(1, "memory", memory_text(data.memory));
  if (data.l2_cache.count() > 0) out.field(1, "l2_cache", memory_text(data.l2_cache));
  out.add(1, "peak:");
  for (std::size_t i = 0; i < kNumberFormats; ++i) {
    if (data.peak[i].flops_per_s() > 0.0)
      out.field(2, name(static_cast<NumberFormat>(i)), flops_text(data.peak[i]));
  }
  out.add(0, "host:");
  out.quoted(1, "source", data.host_source);
  out.field(1, "launch_overhead", microseconds(data.launch_overhead.s()));
  if (data.linear_overhead != data.launch_overhead)
    out.field(1, "linear_overhead", microseconds(data.linear_overhead.s()));
  out.field(1, "host_sync", microseconds(data.host_sync.s()));
  if (data.framework_share != ProfileData().framework_share)
    out.field(1, "framework_share", number(data.framework_share));
}

}  // namespace

std::string write_profile(const ProfileData& data, const std::string& header) {
  Text out;
  for (std::size_t at = 0; at < header.size();) {
    const std::size_t end = std::min(header.find('\n', at), header.size());
    out.add(0, "# " + header.substr(at, end - at));
    at = end + 1;
  }
  write_key(out, data);
  std::string head = out.take() + (data.anchor ? write_anchor(*data.anchor) : "");
  write_device(out, data);
  write_gemm(out, data);
  write_grouped(out, data);
  write_attention(out, data.attention);
  write_memory_ops(out, data);
  write_links(out, data);
  std::string text = head + out.take() + write_expert_parallel(data.expert_parallel);
  Text rest;
  write_interference(rest, data.interference);
  write_host_copy(rest, data);
  return text + rest.take();
}

}  // namespace moeplan::sim
