#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/document.h"
#include "base/object_reader.h"
#include "sim/cost/anchor.h"
#include "sim/cost/expert_parallel_reader.h"
#include "sim/cost/link_reader.h"
#include "sim/cost/profile.h"
#include "sim/cost/profile_data.h"
#include "sim/cost/profile_fields.h"

namespace moeplan::sim {

namespace {

using base::ObjectReader;

constexpr const char* kSchema = "moeplan.profile/1";
constexpr double kLargestRows = 1e9;
constexpr double kLargestSlowdown = 10.0;

/// Grid nodes: positive and increasing.
LogAxis read_axis(ObjectReader& at, std::string_view key) {
  const std::vector<double> nodes = at.required<std::vector<double>>(key);
  bool sound = !nodes.empty() && nodes.front() > 0.0;
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) sound = sound && nodes[i] < nodes[i + 1];
  if (sound) return LogAxis(nodes);
  if (at.has(key))
    at.fault(key, "found nodes that do not increase from above 0, expected an increasing list");
  return LogAxis({1.0});
}

/// Grid values: exactly `count`, small in size (they are exponents).
std::vector<double> read_values(ObjectReader& at, std::string_view key, std::size_t count) {
  constexpr double kLargestExponent = 3.0;
  std::vector<double> values = at.required<std::vector<double>>(key);
  if (values.size() != count) {
    if (at.has(key)) at.fault(key, fmt::format("found {} values, expected {}", values.size(), count));
    return std::vector<double>(count, 0.0);
  }
  for (const double value : values) {
    if (value >= -kLargestExponent && value <= kLargestExponent) continue;
    at.fault(key, fmt::format("found the exponent {}, expected a value between -{} and {}", value,
                              kLargestExponent, kLargestExponent));
    break;
  }
  return values;
}

Interval read_interval(ObjectReader& at, std::string_view key) {
  const std::vector<double> ends = at.required<std::vector<double>>(key);
  if (ends.size() == 2 && ends[0] <= ends[1]) return {ends[0], ends[1]};
  if (at.has(key)) at.fault(key, "found no interval, expected [lowest, highest]");
  return {};
}

std::optional<Residuals> read_residuals(ObjectReader& at, std::string_view key) {
  std::optional<ObjectReader> part = at.optional_object(key);
  if (!part) return std::nullopt;
  Residuals r;
  r.shapes = part->required<int>("shapes");
  r.p05 = part->required<double>("p05");
  r.p50 = part->required<double>("p50");
  r.p95 = part->required<double>("p95");
  r.median_error = part->required<double>("median_error");
  r.mean_error = part->required<double>("mean_error");
  r.p90_error = part->required<double>("p90_error");
  r.p95_error = part->value_or<double>("p95_error", 0.0);
  r.worst_error = part->required<double>("worst_error");
  part->finish();
  return r;
}

Band read_band(ObjectReader& at) {
  ObjectReader part = at.object("band");
  Band band;
  band.edges_us = part.required<std::vector<double>>("edges_us");
  band.low = part.required<std::vector<double>>("low");
  band.high = part.required<std::vector<double>>("high");
  part.finish();
  const std::size_t classes = band.edges_us.size() + 1;
  if (band.low.size() == classes && band.high.size() == classes) return band;
  if (at.has("band")) {
    at.fault("band", fmt::format("found {} low and {} high factors, expected {} of each, one more than edges",
                                 band.low.size(), band.high.size(), classes));
  }
  return {};
}

TableOrigin read_origin(ObjectReader& at) {
  TableOrigin origin;
  origin.evidence = read_evidence(at);
  origin.source = at.required<std::string>("source");
  origin.software = at.value_or<std::string>("software", "");
  origin.fitted = read_residuals(at, "fitted");
  origin.left_out = read_residuals(at, "left_out");
  origin.band = read_band(at);
  return origin;
}

std::vector<TileEfficiency> read_tiles(ObjectReader& at) {
  std::vector<TileEfficiency> tiles;
  for (ObjectReader part : at.objects("tiles")) {
    TileEfficiency tile;
    tile.m = part.required<int>("m");
    tile.n = part.required<int>("n");
    tile.efficiency = read_share(part, "efficiency");
    if (tile.m <= 0 || tile.n <= 0) {
      part.fault("m", "found a tile without area, expected positive sizes");
      tile.m = tile.n = 128;
    }
    part.finish();
    tiles.push_back(tile);
  }
  if (tiles.empty()) at.fault("tiles", "found no tile, expected at least one of {m, n, efficiency}");
  return tiles;
}

PassFactor read_factor(ObjectReader& at) {
  PassFactor factor;
  factor.relative_efficiency = read_positive(at, "relative_efficiency", 2.0);
  factor.low = read_positive(at, "low", 10.0);
  factor.high = read_positive(at, "high", 10.0);
  factor.evidence = read_evidence(at);
  return factor;
}

template <std::size_t N>
void read_passes(ObjectReader& at, std::array<PassFactor, N>& passes, std::string& source) {
  ObjectReader part = at.object("passes");
  source = part.required<std::string>("source");
  for (const GemmPass pass : {GemmPass::kDataGradient, GemmPass::kWeightGradient}) {
    ObjectReader entry = part.object(name(pass));
    passes[static_cast<std::size_t>(pass)] = read_factor(entry);
    entry.finish();
  }
  part.finish();
}

std::optional<ClockDrop> read_clock(ObjectReader& at) {
  std::optional<ObjectReader> part = at.optional_object("clock");
  if (!part) return std::nullopt;
  ClockDrop drop;
  drop.share = read_positive(*part, "share", 1.0);
  drop.after_s = read_seconds(*part, "after");
  if (part->has("after") && drop.after_s <= 0.0) {
    part->fault("after", "found no time, expected more than 0");
    drop.after_s = 1.0;
  }
  part->finish();
  return drop;
}

void read_gemm_mechanism(ObjectReader& at, GemmTable& table) {
  table.launch_s = read_seconds(at, "launch");
  table.wave_overhead_s = read_seconds(at, "wave_overhead");
  table.split_overhead_s = read_seconds(at, "split_overhead");
  table.memory_efficiency = read_share(at, "memory_efficiency");
  if (at.has("tail_recovered")) table.tail_recovered = read_positive(at, "tail_recovered", 1.0);
  if (at.has("spill_slowdown")) table.spill_slowdown = read_positive(at, "spill_slowdown", kLargestSlowdown);
  if (at.has("store_exposed")) table.store_exposed = read_positive(at, "store_exposed", kLargestSlowdown);
  table.tiles = read_tiles(at);
  if (std::optional<ObjectReader> range = at.optional_object("range")) {
    table.m = read_interval(*range, "m");
    table.n = read_interval(*range, "n");
    table.k = read_interval(*range, "k");
    range->finish();
  }
  if (std::optional<ObjectReader> beyond = at.optional_object("beyond")) {
    table.beyond = BandGrowth{read_positive(*beyond, "m", kLargestRows),
                              read_positive(*beyond, "growth", kLargestSlowdown)};
    beyond->finish();
  }
  table.clock = read_clock(at);
  if (std::optional<ObjectReader> quantise = at.optional_object("quantise")) {
    table.quantise =
        QuantiseCost{read_seconds(*quantise, "fixed"), read_positive(*quantise, "bytes_per_element", 64.0),
                     quantise->has("l2_share") ? read_positive(*quantise, "l2_share", 1.0) : 1.0};
    quantise->finish();
  }
  if (std::optional<ObjectReader> part = at.optional_object("correction")) {
    GemmCorrection grid;
    grid.m = read_axis(*part, "m");
    grid.n = read_axis(*part, "n");
    grid.k_coarse = read_axis(*part, "k_coarse");
    grid.n_coarse = read_axis(*part, "n_coarse");
    grid.by_m_n = read_values(*part, "by_m_n", grid.m.size() * grid.n.size());
    grid.by_m_k = read_values(*part, "by_m_k", grid.m.size() * grid.k_coarse.size());
    grid.by_n_k = read_values(*part, "by_n_k", grid.n_coarse.size() * grid.k_coarse.size());
    part->finish();
    table.correction = std::move(grid);
  }
}

/// A table that stands on an earlier one: its mechanism at another format, with its own (assumed) origin.
template <class Table>
Table like_table(const Table& model, NumberFormat format, NumberFormat like, const TableOrigin& origin) {
  Table table = model;
  table.format = format;
  table.like = like;
  table.origin = origin;
  return table;
}

std::optional<WeightSums> read_sums(ObjectReader& at) {
  std::optional<ObjectReader> part = at.optional_object("weight_sums");
  if (!part) return std::nullopt;
  WeightSums sums;
  sums.share = read_positive(*part, "share", 1.0);
  sums.exposed = read_positive(*part, "exposed", 1.0);
  sums.evidence = read_evidence(*part);
  sums.source = part->required<std::string>("source");
  part->finish();
  return sums;
}

void read_gemm(ObjectReader& top, ProfileData& data) {
  ObjectReader section = top.object("gemm");
  read_passes(section, data.gemm_passes, data.gemm_pass_source);
  data.sums = read_sums(section);
  for (ObjectReader at : section.objects("tables")) {
    const NumberFormat format = read_format(at, "format");
    auto& slot = data.gemm[static_cast<std::size_t>(format)];
    if (slot) at.fault("format", fmt::format("found a second table of {}, expected one", name(format)));
    if (at.has("like")) {
      const NumberFormat like = read_format(at, "like");
      TableOrigin origin = read_origin(at);
      const auto& model = data.gemm[static_cast<std::size_t>(like)];
      if (model) {
        slot = like_table(*model, format, like, origin);
        slot->quantise.reset();
      } else {
        at.fault("like", fmt::format("found \"{}\", expected a format with a table above", name(like)));
      }
    } else {
      GemmTable table;
      table.format = format;
      table.origin = read_origin(at);
      read_gemm_mechanism(at, table);
      slot = std::move(table);
    }
    at.finish();
  }
  section.finish();
}

void read_grouped_mechanism(ObjectReader& at, GroupedTable& table) {
  table.launch_s = read_seconds(at, "launch");
  table.wave_overhead_s = read_seconds(at, "wave_overhead");
  table.memory_efficiency = read_share(at, "memory_efficiency");
  if (at.has("reread_share")) table.reread_share = read_positive(at, "reread_share", 1.0);
  table.tiles = read_tiles(at);
  if (std::optional<ObjectReader> range = at.optional_object("range")) {
    table.rows = read_interval(*range, "rows");
    table.area = read_interval(*range, "area");
    range->finish();
  }
  table.clock = read_clock(at);
  ObjectReader operation = at.object("operation");
  table.operation.fixed_s = read_seconds(operation, "fixed");
  table.operation.floor_s = read_seconds(operation, "floor");
  table.operation.activation_efficiency = read_share(operation, "activation_efficiency");
  table.operation.move_efficiency = read_share(operation, "move_efficiency");
  operation.finish();
  if (std::optional<ObjectReader> part = at.optional_object("correction")) {
    GroupedCorrection grid;
    grid.tokens = read_axis(*part, "tokens");
    grid.area = read_axis(*part, "area");
    grid.work = read_axis(*part, "work");
    grid.by_tokens_work = read_values(*part, "by_tokens_work", grid.tokens.size() * grid.work.size());
    grid.by_area = read_values(*part, "by_area", grid.area.size());
    part->finish();
    table.correction = std::move(grid);
  }
}

void read_grouped(ObjectReader& top, ProfileData& data) {
  ObjectReader section = top.object("grouped_gemm");
  read_passes(section, data.grouped_passes, data.grouped_pass_source);
  constexpr auto kDefaultSlot = static_cast<std::size_t>(GroupedKernel::kDefault);
  for (ObjectReader at : section.objects("tables")) {
    const NumberFormat format = read_format(at, "format");
    auto& kernels = data.grouped[static_cast<std::size_t>(format)];
    if (at.has("like")) {
      const NumberFormat like = read_format(at, "like");
      TableOrigin origin = read_origin(at);
      const auto& model = data.grouped[static_cast<std::size_t>(like)][kDefaultSlot];
      if (model) {
        kernels[kDefaultSlot] = like_table(*model, format, like, origin);
      } else {
        at.fault("like", fmt::format("found \"{}\", expected a format with a table above", name(like)));
      }
      at.finish();
      continue;
    }
    GroupedTable table;
    table.format = format;
    table.kernel = parse_grouped_kernel(at.one_of("kernel", {"cutlass", "deepgemm"}, std::nullopt))
                       .value_or(GroupedKernel::kCutlass);
    table.is_default = at.required<bool>("default");
    table.origin = read_origin(at);
    read_grouped_mechanism(at, table);
    at.finish();
    auto& slot = kernels[static_cast<std::size_t>(table.kernel)];
    if (slot)
      at.fault("kernel",
               fmt::format("found a second {} table of {}, expected one", name(table.kernel), name(format)));
    if (table.is_default) {
      if (kernels[kDefaultSlot])
        at.fault("default", fmt::format("found a second default of {}, expected one", name(format)));
      kernels[kDefaultSlot] = table;
    }
    slot = std::move(table);
  }
  section.finish();
}

void read_attention(ObjectReader& top, ProfileData& data) {
  ObjectReader at = top.object("attention");
  AttentionTable& table = data.attention;
  table.origin = read_origin(at);
  table.launch_s = read_seconds(at, "launch");
  table.efficiency = read_share(at, "efficiency");
  table.tail = at.required<double>("tail");
  table.prepare_efficiency = read_share(at, "prepare_efficiency");
  if (at.has("softmax_dim")) table.softmax_dim = read_positive(at, "softmax_dim", 1000.0);
  table.backward_source = at.required<std::string>("backward_source");
  ObjectReader backward = at.object("backward");
  table.backward_flop_ratio = read_positive(backward, "flop_ratio", 10.0);
  table.backward = read_factor(backward);
  backward.finish();
  if (std::optional<ObjectReader> unlike = at.optional_object("backward_unlike")) {
    table.backward_unlike = read_factor(*unlike);
    unlike->finish();
  }
  if (std::optional<ObjectReader> part = at.optional_object("correction")) {
    AttentionCorrection grid;
    grid.dim = read_axis(*part, "dim");
    grid.seq = read_axis(*part, "seq");
    grid.heads = read_axis(*part, "heads");
    grid.group = read_axis(*part, "group");
    grid.by_dim_seq_heads =
        read_values(*part, "by_dim_seq_heads", grid.dim.size() * grid.seq.size() * grid.heads.size());
    grid.by_dim_group = read_values(*part, "by_dim_group", grid.dim.size() * grid.group.size());
    part->finish();
    table.correction = std::move(grid);
  }
  at.finish();
}

void read_memory_ops(ObjectReader& top, ProfileData& data) {
  ObjectReader at = top.object("memory_ops");
  data.memory_floor_s = read_seconds(at, "floor");
  data.memory_source = at.required<std::string>("source");
  ObjectReader band = at.object("band");
  data.memory_low = read_positive(band, "low", 1.0);
  data.memory_high = read_positive(band, "high", 10.0);
  band.finish();
  ObjectReader shares = at.object("efficiency");
  for (int i = 0; i < kMemoryOps; ++i) {
    ObjectReader entry = shares.object(name(static_cast<MemoryOp>(i)));
    MemoryOpCost& cost = data.memory_ops[static_cast<std::size_t>(i)];
    cost.share = read_share(entry, "share");
    cost.evidence = read_evidence(entry);
    cost.source = entry.optional<std::string>("source").value_or("");
    entry.finish();
  }
  shares.finish();
  at.finish();
}

void read_device(ObjectReader& top, ProfileData& data) {
  ObjectReader at = top.object("device");
  data.device_source = at.required<std::string>("source");
  data.sm_count = at.required<int>("sm_count");
  if (at.has("sm_count") && data.sm_count <= 0) at.fault("sm_count", "found no SM, expected at least 1");
  data.clock_mhz = read_positive(at, "clock_mhz", 1e5);
  data.hbm_bandwidth = at.required<base::BytesPerSecond>("hbm_bandwidth");
  if (at.has("hbm_bandwidth") && data.hbm_bandwidth.bytes_per_s() <= 0.0) {
    at.fault("hbm_bandwidth", "found no bandwidth, expected more than 0");
  }
  data.memory = at.required<base::Bytes>("memory");
  data.l2_cache = at.optional<base::Bytes>("l2_cache").value_or(base::Bytes{});
  ObjectReader peak = at.object("peak");
  for (int i = 0; i < kNumberFormats; ++i) {
    const auto rate = peak.optional<base::FlopsPerSecond>(name(static_cast<NumberFormat>(i)));
    if (rate) data.peak[static_cast<std::size_t>(i)] = *rate;
  }
  peak.finish();
  at.finish();
  ObjectReader host = top.object("host");
  data.host_source = host.required<std::string>("source");
  data.launch_overhead = base::Seconds::of(read_seconds(host, "launch_overhead"));
  data.linear_overhead = host.has("linear_overhead")
                             ? base::Seconds::of(read_seconds(host, "linear_overhead"))
                             : data.launch_overhead;
  data.host_sync = base::Seconds::of(read_seconds(host, "host_sync"));
  if (host.has("framework_share")) data.framework_share = read_positive(host, "framework_share", 100.0);
  host.finish();
}

void read_sustained(ObjectReader& top, ProfileData& data) {
  std::optional<ObjectReader> at = top.optional_object("sustained");
  if (!at) return;
  SustainedFactor factor;
  factor.compute_factor = read_positive(*at, "compute_factor", 1.0);
  factor.low = read_positive(*at, "low", 10.0);
  factor.high = read_positive(*at, "high", 10.0);
  factor.source = at->required<std::string>("source");
  factor.evidence = read_evidence(*at);
  at->finish();
  data.sustained = std::move(factor);
}

/// Every format with a peak has its tables, and no other.
void check_formats(ObjectReader& top, const ProfileData& data) {
  for (std::size_t i = 0; i < data.gemm.size(); ++i) {
    const std::string_view format = name(static_cast<NumberFormat>(i));
    const bool supported = data.peak[i].flops_per_s() > 0.0;
    if (supported != data.gemm[i].has_value()) {
      top.fault("gemm", fmt::format("found {} table of {}, expected one for each format with a peak",
                                    supported ? "no" : "a", format));
    }
    if (supported != data.grouped[i][0].has_value()) {
      top.fault("grouped_gemm",
                fmt::format("found {} default table of {}, expected one for each format with a peak",
                            supported ? "no" : "a", format));
    }
  }
  if (data.peak[static_cast<std::size_t>(NumberFormat::kBf16)].flops_per_s() <= 0.0) {
    top.fault("device", "found no bf16 peak, expected one (attention is priced by it)");
  }
}

}  // namespace

Profile read_profile(const base::Document& document) {
  base::DiagnosticSink sink;
  ObjectReader top(document, sink, "profile");
  ProfileData data;
  top.one_of("schema", {kSchema}, std::nullopt);
  data.name = top.required<std::string>("name");
  data.gpu = top.required<std::string>("gpu");
  data.timing = top.required<std::string>("timing");
  data.method = parse_timing_method(top.one_of("method", timing_method_names(), "burst"))
                    .value_or(TimingMethod::kBurst);
  data.software = top.value_or<std::string>("software", "");
  data.power_limit_w = read_positive(top, "power_limit_w", 1e5);
  read_sustained(top, data);
  data.anchor = read_anchor(top);
  read_device(top, data);
  read_gemm(top, data);
  read_grouped(top, data);
  read_attention(top, data);
  read_memory_ops(top, data);
  read_links(top, data);
  data.expert_parallel = read_expert_parallel(top);
  data.interference = read_interference(top);
  data.host_copy = read_host_copy(top, data.name);
  top.finish();
  if (sink.empty()) check_formats(top, data);
  sink.throw_if_any();
  data.provenance = collect_provenance(data);
  return Profile(std::move(data));
}

Profile load_profile(const std::string& path) { return read_profile(base::load_document(path)); }

Profile parse_profile(const std::string& text, const std::string& file) {
  return read_profile(base::parse_yaml(text, file));
}

}  // namespace moeplan::sim
