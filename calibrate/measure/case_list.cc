#include "calibrate/measure/case_list.h"

#include <utility>

namespace moeplan::calibrate {

void CaseList::add(Case what) {
  if (seen_.insert(what.key()).second) cases_.push_back(std::move(what));
}

void CaseList::add_gemm(const std::string& format, const std::string& pass, std::int64_t tokens,
                        const LinearLayer& layer, const std::string& l2) {
  if (2.0 * static_cast<double>(tokens) * static_cast<double>(layer.out) * static_cast<double>(layer.in) >
      most_flops_)
    return;
  std::int64_t m = tokens, n = layer.out, k = layer.in;
  if (pass == "data_gradient") n = layer.in, k = layer.out;
  if (pass == "weight_gradient") m = layer.out, n = layer.in, k = tokens;
  add("gemm format=" + format + " pass=" + pass + sizes(m, n, k) + " l2=" + l2);
}

void CaseList::add_grouped(const std::string& kernel, const std::string& format, const std::string& pass,
                           std::int64_t groups, std::int64_t rows, const LinearLayer& layer,
                           const std::string& loads) {
  const double flops = 2.0 * static_cast<double>(groups * rows) * static_cast<double>(layer.out * layer.in);
  const double weights = static_cast<double>(groups) * static_cast<double>(layer.out * layer.in);
  if (flops > most_flops_ || weights > kMostWeights) return;
  add("grouped_product kernel=" + kernel + " format=" + format + " pass=" + pass +
      " groups=" + std::to_string(groups) + " rows=" + std::to_string(rows) +
      " n=" + std::to_string(layer.out) + " k=" + std::to_string(layer.in) + " loads=" + loads);
}

void CaseList::add_memory(const std::string& op, std::int64_t rows, std::int64_t cols, std::int64_t top_k) {
  add("memory op=" + op + " rows=" + std::to_string(rows) + " cols=" + std::to_string(cols) +
      " top_k=" + std::to_string(top_k));
}

std::string CaseList::sizes(std::int64_t m, std::int64_t n, std::int64_t k) {
  return " m=" + std::to_string(m) + " n=" + std::to_string(n) + " k=" + std::to_string(k);
}

}  // namespace moeplan::calibrate
