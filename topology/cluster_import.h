#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "topology/node_draft.h"

namespace moeplan::topology {

/// Reads one node's topology, the kind of file found by its content: `nvidia-smi topo -m`, NCCL's topology
/// XML, `rocm-smi --showtopo`. NCCL's graph dumps and ibnetdiscover's fabrics are refused by name. Throws
/// InputError.
NodeDraft read_node_topology(std::string_view text, const std::string& file);

/// A cluster file of one such node, named after `file` ("h100.txt" -> "h100"). Where nothing is unknown any
/// more, the text has been read back and is a valid cluster. Throws InputError.
ClusterDraft import_cluster(const NodeDraft& draft, const std::string& file, const DraftAdditions& additions);

}  // namespace moeplan::topology
