#pragma once

#include <string>
#include <vector>

#include "report/explain/measured_steps.h"
#include "report/explain/step_account.h"

namespace moeplan::report {

/// The names that advice and assumptions mention, and what of the prediction a trace cannot tell.
struct ExplainContext {
  std::string profile, load, model, run, cluster, plan;
  std::string expert_link, tensor_link, data_link, stage_link;  ///< "NVLink", "NICs"
  double predicted_share = 1;  ///< tokens that the rank's experts receive, over the mean rank's
};

/// One class of operations, predicted and measured.
struct Difference {
  OperationClass operation = OperationClass::kIdle;
  ClassTime predicted, measured;
  double factor = 0;  ///< measured / predicted busy time (idle: own time); 0: nothing predicted
  std::vector<base::Seconds> own_of_step;  ///< measured own time in each step
  base::Seconds lost;  ///< own time, measured - predicted: these sum to the difference of the steps
  bool in_band = true;
  std::string assumption;  ///< that it breaks; empty inside the band
  std::string next;        ///< what to do
};

struct PartTime {
  sim::StepPart part = sim::StepPart::kForward;
  base::Seconds predicted, measured;  ///< busy
};

struct LayerTime {
  int layer = 0;
  base::Seconds predicted, measured;  ///< busy; predicted: forward alone where the trace tells no more
};

/// Why a measured step differs from the predicted one.
struct Explanation {
  base::Seconds predicted, measured;
  StepAccount prediction, measurement;
  std::vector<Difference> differences;  ///< most time lost first; each class that either side has
  std::vector<PartTime> parts;          ///< empty: not told
  std::vector<LayerTime> layers;        ///< likewise
  double measured_share = 0;            ///< as predicted_share; 0: not told
  IdleTime idle;                        ///< of the measured step
  std::vector<std::string> findings;    ///< of several classes together
  std::vector<std::string> warnings;    ///< the trace may be of something else
};

/// Compares class by class.
///
/// Model:   lost_c = own_c(measured) - own_c(predicted); sum over classes = measured - predicted step.
///          A class is in its band where its busy time lies in [low, high] of the predicted one, widened
///          to 3.2 % to either side (repeats of one configuration), or differs by less than 0.2 % of the
///          step. Classes that the trace does not tell apart are compared together. A common factor is named
///          where the compute classes' factors, weighted by predicted time, lie within 5 % of each other and
///          away from 1 by more.
Explanation explain(const StepAccount& prediction, const MeasuredSteps& measured,
                    const ExplainContext& context);

}  // namespace moeplan::report
