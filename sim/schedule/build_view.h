#pragma once

#include "sim/result/step_view.h"
#include "sim/schedule/pipeline_graph.h"
#include "sim/schedule/simulate.h"

namespace moeplan::sim {

/// One simulated step as one looks at it: the timeline of its passes, memory over time, where the load's
/// tokens go in `iteration` (-1 = balanced routing: every share is 1), and the critical path.
///
/// Bars are those of the busiest block of each stage; a pass in pieces is one bar.
StepView build_view(const Job& job, const PlanSpec& plan, const PipelineStep& step, int iteration);

}  // namespace moeplan::sim
