#include "sim/schedule/host_operations.h"

namespace moeplan::sim {

PassOperations router_operations(const ModelSpec& model, RouterLoss loss) {
  const bool sigmoid = model.scoring == "sigmoid";  // with the bias of balance without a loss
  const PassOperations router = sigmoid ? PassOperations{24, 26} : PassOperations{17, 16};
  if (loss == RouterLoss::kNone) return router;
  const PassOperations with_loss = sigmoid ? PassOperations{18, 19} : PassOperations{16, 12};
  return {router.forward + with_loss.forward, router.backward + with_loss.backward};
}

DispatchOperations dispatch_operations(Dispatcher dispatcher) {
  switch (dispatcher) {
    case Dispatcher::kDeepEp:
      return {{10, 0}, {37, 19}, {2, 2}};
    case Dispatcher::kHybridEp:
      return {{9, 0}, {6, 8}, {2, 2}};
    default:
      return {{30, 10}, {14, 9}, {7, 6}};
  }
}

int quantise_launches(NumberFormat format) { return format == NumberFormat::kFp8Tensor ? 4 : 1; }

}  // namespace moeplan::sim
