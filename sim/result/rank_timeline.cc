#include "sim/result/rank_timeline.h"

namespace moeplan::sim {

std::string_view name(StepPart part) {
  switch (part) {
    case StepPart::kForward:
      return "forward";
    case StepPart::kBackward:
      return "backward";
    case StepPart::kBoth:
      return "forward beside backward";
    case StepPart::kUpdate:
      return "update";
  }
  return "";
}

}  // namespace moeplan::sim
