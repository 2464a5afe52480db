#pragma once

#include "sim/result/step_view.h"
#include "sim/schedule/step_simulator.h"

namespace moeplan::sim {

/// The critical path of a step in words.
///
/// Model:   from the task that ends last back along what each task waited for last (Timeline::binding).
/// Passes
///          of one stage that follow one another on it make one stretch, whatever their chunks and
///          micro-batches. What bounds a pass: the two largest classes of the chain inside the chunk that
///          ends last; what bounds a transfer or an exchange: the link that its ranks share least of.
/// Not modelled: slack beside the path; of two that end together the path follows one.
ChainView build_chain(const Job& job, const PlanSpec& plan, const PipelineStep& step);

}  // namespace moeplan::sim
