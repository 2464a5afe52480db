#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::planner {

/// Kinds of nodes and collectives, by the numbers of Chakra's schema.
enum class ChakraNodeType { kCompute = 4, kSend = 5, kReceive = 6, kCollective = 7 };
enum class ChakraCollective { kAllReduce = 0, kAllGather = 2, kAllToAll = 6, kReduceScatter = 7 };

/// One node of an execution trace.
struct ChakraNode {
  std::uint64_t id = 0;
  std::string name;
  ChakraNodeType type = ChakraNodeType::kCompute;
  std::vector<std::uint64_t> data_deps;  ///< ids of nodes that have to be done
  std::uint64_t duration_us = 0;         ///< of computation
  ChakraCollective collective = ChakraCollective::kAllReduce;
  /// Of a collective what ASTRA-sim reads there: the rank's whole input (all-reduce, reduce-scatter,
  /// all-to-all) or its share (all-gather); of a send or receive the message.
  std::int64_t bytes = 0;
  std::string group;                       ///< of a collective: key of the comm-group file
  std::int32_t src = 0, dst = 0, tag = 0;  ///< of a send or receive
  friend bool operator==(const ChakraNode&, const ChakraNode&) = default;
};

/// A trace file of one rank: metadata, then the nodes, each behind its length.
/// Source: mlcommons/chakra schema/protobuf/et_def.proto (version 0.0.4); attributes as ASTRA-sim's feeder
/// reads them
std::string write_chakra_trace(const std::vector<ChakraNode>& nodes);

/// Inverse of write_chakra_trace; fields that it does not write are skipped. Throws InputError: cut or broken
/// messages, node types and collectives other than these.
std::vector<ChakraNode> read_chakra_trace(std::string_view bytes, const std::string& file);

/// Ranks of each communicator, by its key: {"1": [0, 1], ...}.
using ChakraGroups = std::map<std::string, std::vector<int>>;

/// Why a replay of all ranks would not end, empty where it would: ids and dependencies, collectives that
/// their group calls in another order or size, sends without a receive. Shape: traces[rank]
std::string find_chakra_fault(const std::vector<std::vector<ChakraNode>>& traces, const ChakraGroups& groups);

}  // namespace moeplan::planner
