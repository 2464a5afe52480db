#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "base/document.h"

namespace moeplan::planner {

/// An assignment `path.to.KEY = VALUE`, or a keyword argument `KEY=VALUE`, whose value is a literal.
struct PythonAssignment {
  std::string path;  ///< "config.parallelism.tensor_parallel_degree", as written
  std::string key;   ///< its last name
  base::Position at;
  base::Node value;  ///< a number, a text (quoted), True, False, None (kNull) or a list of these
};

/// Finds the assignments to `keys` in a Python text, in order; nothing is run. The values of `named` may be
/// calls or names, too
/// ("FullAC.Config()"): the value is then the name, not quoted. A key that stands in the text
/// without a literal behind it (an expression, a tuple of targets) is a fault, so that no setting is passed
/// over. Comments and docstrings are skipped. Faults go to `sink`.
std::vector<PythonAssignment> read_python_assignments(std::string_view text, const std::string& file,
                                                      const std::vector<std::string_view>& keys,
                                                      const std::vector<std::string_view>& named,
                                                      base::DiagnosticSink& sink);

}  // namespace moeplan::planner
