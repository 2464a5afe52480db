#include "report/validation/kernel_table.h"

#include <map>
#include <set>

#include <fmt/format.h>

#include "base/document.h"
#include "base/files.h"
#include "base/object_reader.h"
#include "base/parallel.h"
#include "report/validation/statistics.h"
#include "sim/cost/kernel_rows.h"

namespace moeplan::report {

namespace {

/// Median FLOP/s of each kind of row.
std::map<std::string, LeaveOneOutMedian> collect_rates(const std::vector<KernelRow>& rows) {
  std::map<std::string, LeaveOneOutMedian> rates;
  for (const KernelRow& row : rows) rates[row.kind].add(row.flops / row.seconds);
  for (auto& [kind, rate] : rates) rate.sort();
  return rates;
}

Case compare(const KernelRow& row, const sim::Estimate& estimate, const LeaveOneOutMedian& rates) {
  Case judged;
  judged.name = row.name;
  judged.measured = row.seconds;
  judged.predicted = estimate.time.s();
  judged.unit = "s";
  if (const std::optional<double> rate = rates.without(row.flops / row.seconds))
    judged.naive = row.flops / *rate;
  judged.band = Band{estimate.earliest().s(), estimate.latest().s()};
  judged.evidence = estimate.evidence;
  judged.gpu = row.system;
  judged.kind = row.format;
  return judged;
}

struct Prediction {
  const sim::Profile* profile = nullptr;
  std::optional<sim::Estimate> estimate;
  double weight = 1.0;
};

/// Weighs the predicted products of each kind by what plans ask for.
void weigh(const std::vector<KernelRow>& rows, std::vector<Prediction>& predictions, int threads) {
  std::map<std::string, std::vector<std::size_t>> kinds;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].product && predictions[i].estimate) kinds[rows[i].kind].push_back(i);
  if (kinds.empty()) return;
  const std::vector<PlannedProduct> planned = planned_products_of_shipped_models();
  std::vector<const std::vector<std::size_t>*> order;
  for (const auto& [kind, members] : kinds) order.push_back(&members);
  base::parallel_for(order.size(), threads, [&](std::size_t g) {
    std::vector<PlannedProduct> shapes;
    for (const std::size_t i : *order[g]) shapes.push_back(*rows[i].product);
    const std::vector<double> weights = weigh_shapes(planned, shapes);
    for (std::size_t j = 0; j < weights.size(); ++j) predictions[(*order[g])[j]].weight = weights[j];
  });
}

}  // namespace

bool is_fitted_file(const std::string& file, const std::string& path) {
  const base::Document document = base::load_document(fmt::format("{}/fitted.yaml", own_corpus()));
  base::DiagnosticSink sink;
  base::ObjectReader top(document, sink, "fitted");
  std::optional<std::string> known;
  for (base::ObjectReader entry : top.objects("files")) {
    const auto name = entry.required<std::string>("file");
    const auto digest = entry.required<std::string>("digest");
    entry.finish();
    if (name == file) known = digest;
  }
  top.finish();
  sink.throw_if_any();
  if (!known) return false;
  base::Digest digest;
  digest.add(base::read_text_file(path));
  return digest.hex() == *known;
}

void judge_kernel_rows(const Context& context, const std::string& file, const std::vector<KernelRow>& rows,
                       GroupReport& report) {
  const bool fitted = is_fitted_file(file, *context.corpus.find_cases(file));
  const auto wanted = [&](const KernelRow& row) {
    return (!fitted || row.left_out) && context.selection.has_case(report.group, row.name);
  };
  std::vector<Prediction> predictions(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (wanted(rows[i]))
      predictions[i].profile = context.profiles.find(sim::profile_stem_of_system(rows[i].system));
  }
  base::parallel_for(rows.size(), context.threads, [&](std::size_t i) {
    if (predictions[i].profile != nullptr) predictions[i].estimate = rows[i].predict(*predictions[i].profile);
  });

  weigh(rows, predictions, context.threads);
  const std::map<std::string, LeaveOneOutMedian> rates = collect_rates(rows);
  std::size_t seen_by_fit = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const KernelRow& row = rows[i];
    if (fitted && !row.left_out) ++seen_by_fit;
    if (!wanted(row)) continue;
    if (predictions[i].profile == nullptr) {
      report.skipped.push_back({row.name, fmt::format("no profile of {} is shipped", row.system), true});
    } else if (!predictions[i].estimate) {
      report.skipped.push_back({row.name, "the operation of this row cannot be expressed", true});
    } else {
      report.cases.push_back(compare(row, *predictions[i].estimate, rates.at(row.kind)));
      report.cases.back().weight = predictions[i].weight;
    }
  }
  if (seen_by_fit > 0) {
    report.skipped.push_back(
        {fmt::format("{}#fitted", file),
         fmt::format("{} rows have shapes that the shipped profiles were fitted on; only the shapes left out "
                     "are judged",
                     seen_by_fit),
         false});
  }
}

}  // namespace moeplan::report
