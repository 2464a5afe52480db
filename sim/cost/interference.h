#pragma once

#include <string>

#include "base/units.h"
#include "sim/cost/estimate.h"

namespace moeplan::sim {

/// What communication and computation take from each other while they overlap on one GPU.
///
/// Model:   products run at (S - s) / S of their speed beside communication on s of the S SMs;
///          kernels bound by memory at 1 / (1 + u), and so does communication beside them;
///          u = hbm_touches * rate of the communication / HBM bandwidth
/// Symbols: hbm_touches = times that a byte of the payload crosses the HBM of the GPU, reads and writes, on
///          its way out and in
/// Source:  the profile's `interference` section
/// Not modelled: clocks that fall with the power of both, L2 that communication evicts.
struct Interference {
  int nccl_sms = 0;          ///< that an NCCL all-to-all holds: one SM a channel
  double hbm_touches = 0.0;  ///< of a payload byte
  Evidence evidence = Evidence::kAssumed;
  std::string source;

  /// Factor on the time of products. Requires sms < of_sms.
  static double compute_factor(int sms, int of_sms) {
    return sms <= 0 || sms >= of_sms ? 1.0 : static_cast<double>(of_sms) / (of_sms - sms);
  }
  /// Factor on memory-bound kernels beside communication, and on communication beside them.
  double memory_factor(base::BytesPerSecond communication, base::BytesPerSecond hbm) const {
    return hbm.bytes_per_s() > 0.0 ? 1.0 + hbm_touches * communication.bytes_per_s() / hbm.bytes_per_s()
                                   : 1.0;
  }
  friend bool operator==(const Interference&, const Interference&) = default;
};

}  // namespace moeplan::sim
