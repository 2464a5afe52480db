#include "sim/schedule/pipeline_order.h"

#include <algorithm>

namespace moeplan::sim {

namespace {

/// (micro-batch, chunk) of every virtual micro-batch, forward order.
std::vector<PipelineOp> virtual_order(int pp, int vp, int micro_batches) {
  std::vector<PipelineOp> order;
  for (int first = 0; first < micro_batches; first += pp) {
    const int end = std::min(first + pp, micro_batches);
    for (int chunk = 0; chunk < vp; ++chunk) {
      for (int m = first; m < end; ++m) order.push_back({chunk, m, false});
    }
  }
  return order;
}

}  // namespace

std::vector<PipelineOp> pipeline_order(int pp, int vp, int stage, int micro_batches) {
  const std::vector<PipelineOp> forwards = virtual_order(pp, vp, micro_batches);
  std::vector<PipelineOp> backwards = forwards;
  for (PipelineOp& op : backwards) op = {vp - 1 - op.chunk, op.micro_batch, true};
  const int wanted = vp == 1 ? pp - stage - 1 : 2 * (pp - stage - 1) + (vp - 1) * pp;
  const std::size_t warm_up = std::min(static_cast<std::size_t>(wanted), forwards.size());

  std::vector<PipelineOp> order(forwards.begin(), forwards.begin() + static_cast<std::ptrdiff_t>(warm_up));
  std::size_t next_backward = 0;
  for (std::size_t f = warm_up; f < forwards.size(); ++f) {
    order.push_back(forwards[f]);
    order.push_back(backwards[next_backward++]);
  }
  order.insert(order.end(), backwards.begin() + static_cast<std::ptrdiff_t>(next_backward), backwards.end());
  return order;
}

}  // namespace moeplan::sim
