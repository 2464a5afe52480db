#pragma once

#include <string>

#include "base/csv.h"
#include "calibrate/import/import.h"

namespace moeplan::calibrate {

/// A log of nccl-tests or rccl-tests, text or JSON: one sample for each size, out of place.
///
/// GPU, nodes and GPUs of a node are those of the log's own list of ranks, else of the index, else of the
/// flags; with one of nodes and GPUs the other follows from the ranks that busbw / algbw tells.
void import_collective_log(const std::string& text, const std::string& file, const ImportFacts& facts,
                           ImportResult& result);

/// Points on one node: columns system (or --gpu), op, num_gpus, size_bytes, latency_us or latency_ms, and
/// nccl_version. Runs of one point may repeat: each is a sample.
void import_collective_points(const base::CsvTable& table, const ImportFacts& facts, ImportResult& result);

}  // namespace moeplan::calibrate
