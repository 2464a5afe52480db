#include "report/step_page.h"

#include "report/page_data.h"

namespace moeplan::report {

std::string write_step_page(const Inputs& inputs, const StepPage& page, const ChartLibrary& library) {
  const std::vector<NamedResult> one{{page.plan, &page.result}};
  const std::string body = headline(page.result, page.gpus) + results_table(one) + breakdown_section(one) +
                           step_sections(page.result, &page.view) + evidence_section(one);
  return write_page("One training step", inputs, body, write_page_data(one, &page.view), library);
}

}  // namespace moeplan::report
