#include "cli/validate_command.h"

#include <ostream>

#include "base/files.h"
#include "report/validation/limits.h"
#include "report/validation/validate.h"
#include "report/validation/validation_writer.h"

namespace moeplan::cli {

int run_validate(const ValidateOptions& options, Console console) {
  report::Limits limits;
  if (!options.limits.empty()) limits = report::load_limits(options.limits);
  const report::ValidationReport result =
      report::validate({options.corpora, options.only, options.common.threads});
  console.out << (options.common.json ? report::write_validation_json(result)
                                      : report::write_validation_table(result, options.common.verbose > 0));
  if (!options.common.output.empty())
    base::write_file_atomically(options.common.output, report::write_validation_csv(result));
  const std::vector<std::string> violations = report::find_violations(result, limits);
  for (const std::string& violation : violations) console.err << "outside limits: " << violation << '\n';
  return violations.empty() ? kOk : kInfeasible;
}

}  // namespace moeplan::cli
