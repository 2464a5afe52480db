#pragma once

#include <string>
#include <string_view>

namespace moeplan::sim {

/// Why the words with which a source publishes a log make it no measure of NCCL on this hardware (a link that
/// it calls faulty, paths inside the node switched off); empty where nothing does.
std::string find_log_defect(std::string_view remarks);

}  // namespace moeplan::sim
