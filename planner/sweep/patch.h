#pragma once

#include <string>
#include <vector>

#include "base/diagnostics.h"
#include "base/document.h"
#include "planner/sweep/sweep_spec.h"

namespace moeplan::sweep {

/// The tree of an input with the values of the axes that change it in their places. An axis's place has to be
/// in the file: a sweep changes what a file says. Throws InputError, at the axis, where it is not.
///
/// values: [axis], index of the value. The positions of the values are marked, for place_faults.
base::Document patch(const base::Document& source, Input input, const SweepSpec& spec,
                     const std::vector<std::size_t>& values);

/// Options are the sweep file's own: an axis may set one that the file leaves at its default.
base::Document patch_options(const SweepSpec& spec, const std::vector<std::size_t>& values);

/// What a reader reports of a tree that patch made: faults at values of axes get their place in the sweep
/// file, and every fault names the values of the axes that change the input.
std::vector<base::Diagnostic> place_faults(const base::InputError& error, Input input, const SweepSpec& spec,
                                           const std::vector<std::size_t>& values);

}  // namespace moeplan::sweep
