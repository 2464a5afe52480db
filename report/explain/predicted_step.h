#pragma once

#include <vector>

#include "report/explain/step_account.h"
#include "sim/result/rank_timeline.h"

namespace moeplan::report {

/// The predicted step of a rank, accounted for as a trace of it would be.
///
/// Model:   every operation of the timeline is an interval of its class, a collective from when its rank is
///          ready. Waits for the host are idle time. What is left without work is a wait for other ranks: it
///          counts for the communication that ends it, whose kernel would spin meanwhile; where a pass ends
///          it, for p2p with several pipeline stages and is idle with one.
StepAccount account_prediction(const sim::RankTimeline& timeline, int stages);

}  // namespace moeplan::report
