#include "planner/sweep/point_options.h"

#include <limits>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/object_reader.h"

namespace moeplan::sweep {

namespace {

int read_count(base::ObjectReader& reader, std::string_view key, int fallback) {
  const int value = reader.value_or<int>(key, fallback);
  if (value < 1) reader.fault(key, fmt::format("found {}, expected 1 or more", value));
  return value;
}

/// 4, or "all".
int read_matrices(base::ObjectReader& reader) {
  const base::Node* node = reader.node("matrices");
  if (node != nullptr && node->kind == base::NodeKind::kScalar && node->text == "all")
    return std::numeric_limits<int>::max();
  return read_count(reader, "matrices", sim::kMicroBatchSamples);
}

/// A text or a list of texts, joined by commas.
std::string read_words(base::ObjectReader& reader, std::string_view key) {
  const base::Node* node = reader.node(key);
  if (node == nullptr || node->kind != base::NodeKind::kSequence)
    return reader.value_or<std::string>(key, "");
  return fmt::format("{}", fmt::join(reader.value_or<std::vector<std::string>>(key, {}), ","));
}

/// Runs a parser of the planner and reports what it refuses at the value of `key`.
template <class Parse>
void parse_at(base::ObjectReader& reader, std::string_view key, const Parse& parse) {
  const std::string text = read_words(reader, key);
  if (text.empty()) return;
  try {
    parse(text);
  } catch (const base::InputError& error) {
    for (const base::Diagnostic& d : error.diagnostics()) reader.fault(key, d.message, d.hint);
  }
}

void read_simulate(base::ObjectReader& reader, PointOptions& options) {
  options.simulate.network = reader.one_of("sharing", {"bound", "flow"}, "flow") == "bound"
                                 ? sim::NetworkMode::kBound
                                 : sim::NetworkMode::kFlow;
  options.simulate.max_iterations = read_count(reader, "iterations", options.simulate.max_iterations);
  options.simulate.micro_batch_samples = read_matrices(reader);
  options.simulate.what_if = false;
  options.simulate.seed = options.seed;
}

void read_search(base::ObjectReader& reader, PointOptions& options) {
  planner::SearchOptions& search = options.search;
  search.framework = reader.one_of("framework", {"megatron", "any"}, "megatron");
  search.top = 1;
  search.threads = 1;  // points run side by side
  search.iterations = read_count(reader, "iterations", search.iterations);
  if (const auto budget = reader.optional<std::int64_t>("budget")) {
    search.budget = *budget;
    if (*budget < 1)
      reader.fault("budget", fmt::format("found {}, expected 1 simulation or more", *budget),
                   "a budget of time would make results depend on the machine");
  }
  parse_at(reader, "pin", [&](const std::string& text) { search.pins = planner::parse_pins(text); });
  parse_at(reader, "open", [&](const std::string& text) { search.open = planner::parse_open_axes(text); });
}

}  // namespace

PointOptions read_point_options(const base::Document& document, Verb verb) {
  base::DiagnosticSink sink;
  base::ObjectReader reader(document, sink, "sweep > options");
  PointOptions options;
  const auto seed = reader.value_or<std::int64_t>("seed", 1);
  if (seed < 0) reader.fault("seed", fmt::format("found {}, expected 0 or more", seed));
  options.seed = static_cast<std::uint64_t>(seed);
  options.assume = reader.value_or<std::vector<std::string>>("assume", {});
  options.map_layers = reader.value_or("map_layers", false);
  if (verb == Verb::kSimulate) {
    read_simulate(reader, options);
  } else {
    read_search(reader, options);
  }
  reader.finish();
  sink.throw_if_any();
  return options;
}

}  // namespace moeplan::sweep
