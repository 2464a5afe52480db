#pragma once

#include "base/units.h"

namespace moeplan::planner {

/// What interrupts a long run.
struct Reliability {
  /// Between failures of one GPU, its node and its share of the network. Llama 3 405B: 419 unexpected
  /// interruptions in 54 days on 16,384 GPUs, 50,700 hours a GPU (arXiv 2407.21783, sec. 3.3.4).
  base::Seconds gpu_mtbf = base::Seconds::of(50'700.0 * 3600);
  base::Seconds checkpoint = base::Seconds::of(60);  ///< that training stands still for; assumed
  base::Seconds restart = base::Seconds::of(600);    ///< from a failure to the first step again; assumed
};

/// How long it takes to train on so many tokens.
struct TrainingTime {
  double steps = 0;
  base::Seconds without_failures;
  base::Seconds interval;  ///< of training between two checkpoints
  double failures = 0;     ///< expected, of the whole run
  base::Seconds total;     ///< expected
  double gpu_hours = 0;    ///< total * gpus
  double goodput = 1;      ///< without_failures / total
};

/// Model:   M = gpu_mtbf / gpus;  interval = sqrt(2 c M) (Young, 1974);
///          total = M exp(r / M) (exp((interval + c) / M) - 1) t / interval;  failures = total / M
/// Symbols: t = steps * step; c, r = checkpoint, restart. An interval is at most t.
/// Source:  Daly, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22
///          (2006), eq. 13: failures are Poisson, and may fall into checkpoints and restarts
/// Requires: tokens, tokens_per_step, step and gpus above 0.
/// Not modelled: spare nodes that are not there, slow GPUs that nobody replaces, checkpoints that training
/// hides.
TrainingTime training_time(double tokens, double tokens_per_step, base::Seconds step, int gpus,
                           const Reliability& reliability);

}  // namespace moeplan::planner
