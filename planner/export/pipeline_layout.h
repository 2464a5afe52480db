#pragma once

#include <string>
#include <vector>

#include "base/document.h"
#include "base/diagnostics.h"
#include "sim/workload/plan.h"

namespace moeplan::planner {

/// Megatron-Core's `--pipeline-model-parallel-layout`: one letter per part of the model, `|` between virtual
/// stages. E embedding, t decoder layer, m multi-token-prediction block, L loss; `(..)*n` and `x*n` repeat, commas
/// are cosmetic. Virtual stage c runs on pipeline rank c % pp.
/// Source: formats reference 2.1; the grammar of Megatron-Core's PipelineParallelLayerLayout.
struct PipelineLayout {
  std::vector<std::string> stages;  ///< letters of each virtual stage, in model order

  int count(char letter) const;
  /// Decoder layers of each virtual stage.
  sim::StageSplit split() const;
};

/// Expands and checks a layout. Faults (unknown letter, bad repeat, E not first, L not last, decoder layer behind
/// an MTP block) go to `sink` at `at` plus the offset in the text.
PipelineLayout parse_pipeline_layout(const std::string& text, const std::string& file, base::Position at,
                                     base::DiagnosticSink& sink);

/// The shortest form of a split: runs of letters as t*n, runs of equal stages as (..|)*n.
std::string write_pipeline_layout(const sim::StageSplit& split, int mtp_layers);

}  // namespace moeplan::planner
