#pragma once

#include <string>
#include <string_view>

#include "calibrate/import/import.h"

namespace moeplan::calibrate {

/// True for lines of `moeplan-measure` and scripts/time_torch, schema moeplan.measurement/1.
bool is_measurement_file(std::string_view text);

/// Reads measured cases as burst samples (docs/formats/measurements.md): products by pass, grouped products with
/// balanced loads, attention without preparation, memory-bound kernels. GPU, power limit and software are those
/// of the lines of provenance above.
///
/// Skipped and listed: what failed or is not supported, operands that come from the L2 cache, low-precision
/// products (samples of those hold the quantisation of A, too), kinds that give no sample (transfers, launches,
/// interference, sustained runs), a shape that stands above. A last line that is cut off, as a killed run leaves
/// it, is skipped; any other broken line is an InputError.
void import_measurements(const std::string& text, const std::string& file, const ImportFacts& facts,
                         ImportResult& result);

}  // namespace moeplan::calibrate
