#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "report/validation/planned_shapes.h"
#include "report/validation/validate.h"
#include "sim/cost/estimate.h"
#include "sim/cost/profile.h"

namespace moeplan::report {

/// One row of a table of kernel times.
struct KernelRow {
  std::string name;    ///< FILE#ID
  std::string system;  ///< "h100_sxm", as the tables write the GPU
  std::string release;  ///< "SGLang 0.5.10"; empty where the table does not say
  std::string kind;    ///< rows that the baseline takes to be alike: system, format and kernel
  std::string format;  ///< "bf16"
  std::optional<PlannedProduct> product;  ///< of a dense product; weighed by what plans ask for
  double seconds = 0;                     ///< as published
  double flops = 0;                       ///< of the operation; the baseline is a line in it
  bool left_out = true;                   ///< no fit of ours has seen the shape
  std::function<std::optional<sim::Estimate>(const sim::Profile&)> predict;  ///< empty: cannot be expressed
};

/// Judges the rows of one file and appends to the report.
///
/// Which rows are judged: where the file is, byte for byte, the one that the shipped profiles were fitted on
/// (configs/validation/fitted.yaml holds the digests), only the shapes that the fit left out; of any other
/// file, every row. Baseline: FLOP over the median FLOP/s of the other rows of the same kind, judged or not.
void judge_kernel_rows(const Context& context, const std::string& file, const std::vector<KernelRow>& rows,
                       GroupReport& report);

/// True where `path` has the digest under which fitted.yaml knows `file`.
bool is_fitted_file(const std::string& file, const std::string& path);

}  // namespace moeplan::report
