#pragma once

#include <string>
#include <string_view>

#include "topology/node_draft.h"

namespace moeplan::topology {

/// Reads the text that `nvidia-smi topo -m` prints: GPUs, their NVLinks, and how near each NIC is. Colours
/// and the legend are passed over. Rows that are missing are completed by symmetry, with a note: a cell by
/// its mirror, and cells between two missing GPUs where all known pairs of GPUs are joined alike. How near
/// NICs are to a missing GPU stays unknown. `file` is what faults name. Throws InputError. Cost: the size of
/// the text.
NodeDraft read_smi_matrix(std::string_view text, const std::string& file);

/// Reads what `rocm-smi --showtopo` prints: the table of link types. XGMI pairs become a mesh.
NodeDraft read_rocm_topology(std::string_view text, const std::string& file);

/// Reads NCCL's topology XML (NCCL_TOPO_FILE, NCCL_TOPO_DUMP_FILE): PCI devices by class, GPUs and NVLinks
/// where the file has them, NICs with their speed. GPUs are in the order of `dev`, else of their bus id,
/// which is CUDA's PCI order.
NodeDraft read_nccl_system(std::string_view text, const std::string& file);

}  // namespace moeplan::topology
