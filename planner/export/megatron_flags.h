#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/diagnostics.h"
#include "base/document.h"

namespace moeplan::planner {

/// The flags of one Megatron run with their places, whatever text they came from. The last of several wins, as in
/// argparse.
struct MegatronFlags {
  struct Entry {
    std::vector<std::string> values;
    base::Position at;                    ///< of the flag
    std::vector<base::Position> value_at;
    std::vector<std::string> unresolved;  ///< shell variables without a value here
  };
  std::map<std::string, Entry> entries;
  int nodes = 0;          ///< torchrun's --nnodes; 0 = not said
  int gpus_per_node = 0;  ///< torchrun's --nproc-per-node

  const Entry* find(std::string_view flag) const;
};

/// Collects flags from a shell script, a bare list or a YAML file with MODEL_ARGS. `file` names the text.
MegatronFlags read_megatron_flags(std::string_view text, const std::string& file,
                                  const std::map<std::string, std::string>& variables);

enum class FlagInfluence {
  kModelled,   ///< read by the import
  kNone,       ///< data, learning rate, checkpoints, logs: no influence on the model of a step
  kUnmodelled  ///< everything else, unknown flags included
};
FlagInfluence influence_of(std::string_view flag);

}  // namespace moeplan::planner
