#include "report/validation/stack_rates.h"

#include <fmt/format.h>

#include "base/document.h"
#include "base/object_reader.h"
#include "report/validation/corpus.h"

namespace moeplan::report {

namespace {

/// A power limit, cooling and software do not move the compute rate of a GPU by more.
constexpr double kLowest = 0.5, kHighest = 2.0;

}  // namespace

std::vector<StackRate> load_stack_rates() {
  const base::Document document = base::load_document(fmt::format("{}/stacks.yaml", own_corpus()));
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "stacks");
  std::vector<StackRate> rates;
  for (base::ObjectReader entry : top.objects("stacks")) {
    StackRate rate;
    rate.gpu = entry.required<std::string>("gpu");
    rate.stack = entry.required<std::string>("stack");
    rate.compute_rate = entry.required<double>("compute_rate");
    rate.rows = entry.required<int>("rows");
    if (entry.has("compute_rate") && !(rate.compute_rate >= kLowest && rate.compute_rate <= kHighest))
      entry.fault("compute_rate",
                  fmt::format("found {}, expected {} to {}", rate.compute_rate, kLowest, kHighest));
    entry.finish();
    rates.push_back(std::move(rate));
  }
  top.finish();
  sink.throw_if_any();
  return rates;
}

double compute_rate_of(const std::vector<StackRate>& rates, std::string_view gpu, std::string_view release) {
  const std::string_view stack = release.substr(0, release.find('.'));
  for (const StackRate& rate : rates) {
    if (rate.gpu == gpu && rate.stack == stack) return rate.compute_rate;
  }
  return 1.0;
}

}  // namespace moeplan::report
