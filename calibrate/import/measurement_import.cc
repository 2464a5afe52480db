#include "calibrate/import/measurement_import.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/document.h"
#include "base/object_reader.h"
#include "base/quantity_text.h"
#include "calibrate/import/table_row.h"

namespace moeplan::calibrate {

namespace {

using base::ObjectReader;

constexpr std::string_view kSchema = "\"moeplan.measurement/1\"";

/// Of the lines that follow.
struct Provenance {
  std::string gpu, software;
  std::optional<double> power_limit_w;
};

Provenance read_provenance(ObjectReader& top, const ImportFacts& facts) {
  Provenance p;
  p.gpu = facts.gpus.profile_of(top.value_or<std::string>("gpu_name", facts.gpu));
  p.software = top.value_or<std::string>("cublas", top.value_or<std::string>("torch", facts.software));
  const std::string limit = top.value_or<std::string>("power_limit_w", "");
  p.power_limit_w = limit.empty() ? facts.power_limit_w : base::parse_number(limit);
  return p;
}

sim::NumberFormat read_format(ObjectReader& shape) {
  const auto format = shape.required<std::string>("format");
  const auto parsed = sim::parse_number_format(format);
  if (!parsed) throw Skip{fmt::format("format is {}, which is no number format", base::excerpt(format))};
  if (sim::bytes_per_element(*parsed) < 2.0)
    throw Skip{fmt::format("a bare {} product; samples of it hold the quantisation of A, too", format)};
  return *parsed;
}

sim::GemmPass read_pass(ObjectReader& shape) {
  const auto pass = shape.required<std::string>("pass");
  const auto parsed = sim::parse_gemm_pass(pass);
  if (!parsed) throw Skip{fmt::format("pass is {}, which names no pass", base::excerpt(pass))};
  return *parsed;
}

void require_cold(ObjectReader& shape) {
  if (shape.value_or<std::string>("l2", "cold") != "cold") throw Skip{"operands come from the L2 cache"};
}

SampleShape read_gemm(ObjectReader& shape) {
  require_cold(shape);
  GemmSample s;
  s.shape.format = read_format(shape);
  s.shape.pass = read_pass(shape);
  s.shape.m = shape.required<std::int64_t>("m");
  s.shape.n = shape.required<std::int64_t>("n");
  s.shape.k = shape.required<std::int64_t>("k");
  return s;
}

SampleShape read_grouped(ObjectReader& shape) {
  const auto loads = shape.required<std::string>("loads");
  if (loads != "balanced") throw Skip{fmt::format("loads are {}, expected balanced", base::excerpt(loads))};
  GroupedProductSample s;
  s.format = read_format(shape);
  s.pass = read_pass(shape);
  s.groups = shape.required<std::int64_t>("groups");
  s.rows = shape.required<std::int64_t>("rows");
  s.n = shape.required<std::int64_t>("n");
  s.k = shape.required<std::int64_t>("k");
  return s;
}

SampleShape read_attention(ObjectReader& shape) {
  if (shape.value_or<std::string>("backend", "") == "efficient")
    throw Skip{"PyTorch's memory-efficient attention, which no training framework picks where others run"};
  AttentionSample s;
  const auto pass = shape.required<std::string>("pass");
  s.pass = pass == "backward" ? sim::AttentionPass::kBackward : sim::AttentionPass::kForward;
  s.preparation = false;
  s.batch = shape.required<std::int64_t>("batch");
  s.seq = shape.required<std::int64_t>("seq");
  s.heads = shape.required<std::int64_t>("heads");
  s.kv_heads = shape.required<std::int64_t>("kv_heads");
  s.head_dim = shape.required<std::int64_t>("head_dim");
  s.v_dim = shape.required<std::int64_t>("v_dim");
  s.window = shape.required<std::int64_t>("window");
  s.causal = shape.required<bool>("causal");
  return s;
}

SampleShape read_memory(ObjectReader& top, ObjectReader& shape) {
  require_cold(shape);
  const auto op = shape.required<std::string>("op");
  // The class of kernels that it is one of.
  const auto parsed = sim::parse_memory_op(op == "swiglu_backward" ? "swiglu" : op);
  if (!parsed) throw Skip{fmt::format("op is {}, which is no memory-bound kernel", base::excerpt(op))};
  MemorySample s;
  s.op = *parsed;
  s.variant = op;
  s.bytes = base::Bytes::of(std::llround(top.required<double>("bytes")));
  return s;
}

/// Between the ranks of an MPI job, which stand for GPUs.
SampleShape read_collective(ObjectReader& shape) {
  CollectiveShape s;
  const auto name = shape.required<std::string>("collective");
  const auto parsed = sim::parse_nccl_test(name);
  if (!parsed) throw Skip{fmt::format("collective is {}, which is none of nccl-tests", base::excerpt(name))};
  s.test = *parsed;
  s.group.nodes = shape.required<int>("nodes");
  s.group.local = shape.required<int>("gpus_per_node");
  s.size = base::Bytes::of(shape.required<std::int64_t>("bytes"));
  if (s.group.nodes > 1) s.cluster = "mpi";
  return s;
}

SampleShape read_shape(const std::string& kind, ObjectReader& top) {
  ObjectReader shape = top.object("shape");
  if (kind == "gemm") return read_gemm(shape);
  if (kind == "grouped_product") return read_grouped(shape);
  if (kind == "attention") return read_attention(shape);
  if (kind == "memory") return read_memory(top, shape);
  if (kind == "collective") return read_collective(shape);
  throw Skip{fmt::format("{} gives no sample", base::excerpt(kind))};
}

std::string software_of(const std::string& kind, ObjectReader& top, const Provenance& provenance) {
  const std::string software = top.value_or<std::string>("software", provenance.software);
  ObjectReader shape = top.object("shape");
  if (kind == "attention") return software + ", " + shape.value_or<std::string>("backend", "");
  if (kind == "grouped_product") return software + ", " + shape.value_or<std::string>("kernel", "");
  return software;
}

Sample read_case(const std::string& kind, ObjectReader& top, const Provenance& provenance,
                 const ImportFacts& facts) {
  const auto status = top.required<std::string>("status");
  if (status != "measured") throw Skip{fmt::format("{}: {}", status, top.value_or<std::string>("reason", "no reason"))};
  Sample sample;
  sample.gpu = provenance.gpu;
  if (sample.gpu.empty()) throw Skip{"no line of provenance names the GPU; name it with --gpu"};
  sample.power_limit_w = provenance.power_limit_w;
  sample.shape = read_shape(kind, top);
  sample.software = software_of(kind, top, provenance);
  sample.citation = facts.source.empty() ? top.file() : facts.source;
  return sample;
}

/// A line with a missing or wrong value is skipped.
void skip_faults(base::DiagnosticSink& sink) {
  try {
    sink.throw_if_any();
  } catch (const base::InputError& error) {
    const base::Diagnostic& fault = error.diagnostics().front();
    throw Skip{fmt::format("{}: {}", fault.path, fault.message)};
  }
}

}  // namespace

bool is_measurement_file(std::string_view text) {
  return text.substr(0, text.find('\n')).find(kSchema) != std::string_view::npos;
}

void import_measurements(const std::string& text, const std::string& file, const ImportFacts& facts,
                         ImportResult& result) {
  std::set<std::string> seen;
  const std::size_t before = result.samples.size();
  Provenance provenance;
  provenance.gpu = facts.gpus.profile_of(facts.gpu);
  int number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    const bool last = end >= text.size();
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    base::Document document;
    try {
      document = base::parse_json(line, file);
    } catch (const base::InputError& error) {
      if (last) {
        result.skipped.push_back({file, number, "the line is cut off"});
        break;
      }
      base::Diagnostic fault = error.diagnostics().front();
      fault.at.line = number;
      throw base::InputError(std::vector<base::Diagnostic>{fault});
    }
    base::DiagnosticSink sink;
    ObjectReader top(document, sink, "measurement");
    const auto kind = top.required<std::string>("kind");
    if (kind == "provenance") {
      provenance = read_provenance(top, facts);
      continue;
    }
    try {
      Sample sample = read_case(kind, top, provenance, facts);
      Sample key = sample;
      const auto seconds = top.required<double>("seconds");
      skip_faults(sink);
      if (!(seconds > 0.0) || !std::isfinite(seconds)) throw Skip{fmt::format("seconds is {}, expected a time above 0", seconds)};
      sample.time = base::Seconds::of(seconds);
      sample.file = file;
      sample.line = number;
      if (!seen.insert(write_samples({key})).second) throw Skip{"the same case stands above"};
      result.samples.push_back(std::move(sample));
    } catch (const Skip& skip) {
      result.skipped.push_back({file, number, skip.why});
    }
  }
  if (result.samples.size() > before) return;
  throw base::InputError(std::vector<base::Diagnostic>{
      {file, {1, 1}, "", "found no measured case that gives a sample", "the skipped lines say why (-v)"}});
}

}  // namespace moeplan::calibrate
