#pragma once

#include "base/csv.h"
#include "calibrate/import/import.h"

namespace moeplan::calibrate {

/// True for a table of published rates: columns `op`, `layout` and `tflops`.
bool is_published_table(const base::CsvTable& table);

/// Reads rates as samples, time = FLOP / rate:
///
///   matmul                   gemm; TN forward, NN data gradient, NT weight gradient
///   group_matmul             grouped_product; the pass in `layout`
///   grouped_gemm_contiguous  grouped_product, forward
///   attention_fwd, _bwd      attention without preparation; the whole square of scores counted, 2.5 times
///                            that in the backward pass (assumed: some forward rates would else exceed the
///                            peak)
///
/// `gpu` names the GPU, `source` is software and citation. The method is sustained unless facts say more:
/// these rates lie well below those of bursts (assumed), and are good for ratios of one pass to another.
/// Other rows (best of many shapes, products without the quantisation that samples of their format hold,
/// other vendors) are skipped and listed.
void import_published_table(const base::CsvTable& table, const ImportFacts& facts, ImportResult& result);

}  // namespace moeplan::calibrate
