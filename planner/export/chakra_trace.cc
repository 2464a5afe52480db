#include "planner/export/chakra_trace.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace moeplan::planner {

namespace {

constexpr const char* kVersion = "0.0.4";

/// Numbers of fields: of Node, of AttributeProto.
enum NodeField : std::uint64_t {
  kId = 1,
  kName = 2,
  kType = 3,
  kDataDeps = 5,
  kDuration = 7,
  kAttribute = 10
};
enum ValueField : std::uint64_t { kAttributeName = 1, kInt32 = 7, kInt64 = 9, kBool = 27, kString = 29 };
enum WireType : std::uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
  out.push_back(static_cast<char>(value));
}

void put_number(std::string& out, std::uint64_t field, std::uint64_t value) {
  put_varint(out, field << 3 | kVarint);
  put_varint(out, value);
}

void put_text(std::string& out, std::uint64_t field, std::string_view text) {
  put_varint(out, field << 3 | kBytes);
  put_varint(out, text.size());
  out += text;
}

void put_attribute(std::string& out, std::string_view name, ValueField field, std::uint64_t value) {
  std::string attribute;
  put_text(attribute, kAttributeName, name);
  put_number(attribute, field, value);
  put_text(out, kAttribute, attribute);
}

void put_text_attribute(std::string& out, std::string_view name, std::string_view value) {
  std::string attribute;
  put_text(attribute, kAttributeName, name);
  put_text(attribute, kString, value);
  put_text(out, kAttribute, attribute);
}

std::string encode(const ChakraNode& node) {
  std::string out;
  put_number(out, kId, node.id);
  put_text(out, kName, node.name);
  put_number(out, kType, static_cast<std::uint64_t>(node.type));
  if (!node.data_deps.empty()) {
    std::string deps;
    for (const std::uint64_t dep : node.data_deps) put_varint(deps, dep);
    put_text(out, kDataDeps, deps);
  }
  if (node.duration_us > 0) put_number(out, kDuration, node.duration_us);
  put_attribute(out, "is_cpu_op", kBool, 0);
  if (node.type == ChakraNodeType::kCompute) return out;
  put_attribute(out, "comm_size", kInt64, static_cast<std::uint64_t>(node.bytes));
  if (node.type == ChakraNodeType::kCollective) {
    put_attribute(out, "comm_type", kInt64, static_cast<std::uint64_t>(node.collective));
    put_text_attribute(out, "pg_name", node.group);
  } else {
    put_attribute(out, "comm_src", kInt32, static_cast<std::uint64_t>(node.src));
    put_attribute(out, "comm_dst", kInt32, static_cast<std::uint64_t>(node.dst));
    put_attribute(out, "comm_tag", kInt32, static_cast<std::uint64_t>(node.tag));
  }
  return out;
}

/// A field of a message: a number, or bytes.
struct Field {
  std::uint64_t number = 0;
  std::uint64_t value = 0;
  std::string_view bytes;
  WireType type = kVarint;
};

/// Takes a message apart.
class Decoder {
 public:
  Decoder(std::string_view rest, const std::string& file) : rest_(rest), file_(file) {}

  bool done() const { return rest_.empty(); }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) refuse("the file ends inside a number");
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number of more than 64 bits");
  }
  std::string_view take(std::uint64_t size) {
    if (size > rest_.size())
      refuse(fmt::format("a message of {} bytes, but {} are left", size, rest_.size()));
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }
  Field field() {
    Field field;
    const std::uint64_t key = varint();
    field.number = key >> 3;
    field.type = static_cast<WireType>(key & 7);
    if (field.type == kVarint)
      field.value = varint();
    else if (field.type == kBytes)
      field.bytes = take(varint());
    else if (field.type == kFixed64)
      take(8);
    else if (field.type == kFixed32)
      take(4);
    else
      refuse(fmt::format("wire type {} is not of protocol buffers 3", key & 7));
    return field;
  }
  [[noreturn]] void refuse(std::string message) const {
    throw base::InputError({base::Diagnostic{
        file_, {}, "", std::move(message), "a Chakra trace: metadata and nodes, each behind its length"}});
  }

 private:
  std::string_view rest_;
  const std::string& file_;
};

void read_attribute(std::string_view bytes, const std::string& file, ChakraNode& node) {
  Decoder decoder(bytes, file);
  std::string_view name;
  std::string_view text;
  std::uint64_t number = 0;
  while (!decoder.done()) {
    const Field field = decoder.field();
    if (field.number == kAttributeName)
      name = field.bytes;
    else if (field.type == kBytes)
      text = field.bytes;
    else
      number = field.value;
  }
  if (name == "comm_size") node.bytes = static_cast<std::int64_t>(number);
  if (name == "pg_name") node.group = text;
  if (name == "comm_src") node.src = static_cast<std::int32_t>(number);
  if (name == "comm_dst") node.dst = static_cast<std::int32_t>(number);
  if (name == "comm_tag") node.tag = static_cast<std::int32_t>(number);
  if (name != "comm_type") return;
  constexpr std::array kKnown = {ChakraCollective::kAllReduce, ChakraCollective::kAllGather,
                                 ChakraCollective::kAllToAll, ChakraCollective::kReduceScatter};
  const auto* const found = std::find_if(kKnown.begin(), kKnown.end(), [number](ChakraCollective one) {
    return static_cast<std::uint64_t>(one) == number;
  });
  if (found == kKnown.end())
    decoder.refuse(
        fmt::format("node {}: collective {}, expected all-reduce, all-gather, all-to-all or reduce-scatter",
                    node.id, number));
  node.collective = *found;
}

ChakraNode read_node(std::string_view bytes, const std::string& file) {
  Decoder decoder(bytes, file);
  ChakraNode node;
  std::uint64_t type = 0;
  std::vector<std::string_view> attributes;
  while (!decoder.done()) {
    const Field field = decoder.field();
    if (field.number == kId) node.id = field.value;
    if (field.number == kName) node.name = field.bytes;
    if (field.number == kType) type = field.value;
    if (field.number == kDuration) node.duration_us = field.value;
    if (field.number == kAttribute) attributes.push_back(field.bytes);
    if (field.number != kDataDeps) continue;
    if (field.type == kVarint) node.data_deps.push_back(field.value);
    for (Decoder deps(field.bytes, file); !deps.done();) node.data_deps.push_back(deps.varint());
  }
  if (type < static_cast<std::uint64_t>(ChakraNodeType::kCompute) ||
      type > static_cast<std::uint64_t>(ChakraNodeType::kCollective))
    decoder.refuse(fmt::format("node {}: type {}, expected computation, send, receive or collective (4 to 7)",
                               node.id, type));
  node.type = static_cast<ChakraNodeType>(type);
  for (const std::string_view attribute : attributes) read_attribute(attribute, file, node);
  return node;
}

/// Ids count from 0, and dependencies point back.
std::string find_order_fault(const std::vector<ChakraNode>& nodes, int rank) {
  std::set<std::uint64_t> seen;
  for (const ChakraNode& node : nodes) {
    for (const std::uint64_t dep : node.data_deps)
      if (!seen.contains(dep))
        return fmt::format("rank {}: node {} waits for {}, which does not stand before it", rank, node.id,
                           dep);
    if (!seen.insert(node.id).second) return fmt::format("rank {}: node {} stands twice", rank, node.id);
  }
  return "";
}

using Call = std::pair<ChakraCollective, std::int64_t>;
using Message =
    std::tuple<std::int32_t, std::int32_t, std::int32_t, std::int64_t>;  // source, destination, tag, bytes

}  // namespace

std::string write_chakra_trace(const std::vector<ChakraNode>& nodes) {
  std::string metadata;
  put_text(metadata, 1, kVersion);
  std::string out;
  put_varint(out, metadata.size());
  out += metadata;
  for (const ChakraNode& node : nodes) {
    const std::string bytes = encode(node);
    put_varint(out, bytes.size());
    out += bytes;
  }
  return out;
}

std::vector<ChakraNode> read_chakra_trace(std::string_view bytes, const std::string& file) {
  Decoder decoder(bytes, file);
  if (decoder.done()) decoder.refuse("the file is empty");
  decoder.take(decoder.varint());  // metadata
  std::vector<ChakraNode> nodes;
  while (!decoder.done()) nodes.push_back(read_node(decoder.take(decoder.varint()), file));
  return nodes;
}

std::string find_chakra_fault(const std::vector<std::vector<ChakraNode>>& traces,
                              const ChakraGroups& groups) {
  std::vector<std::map<std::string, std::vector<Call>>> calls(traces.size());
  std::multiset<Message> sent;
  std::multiset<Message> received;
  for (std::size_t rank = 0; rank < traces.size(); ++rank) {
    if (std::string fault = find_order_fault(traces[rank], static_cast<int>(rank)); !fault.empty())
      return fault;
    for (const ChakraNode& node : traces[rank]) {
      if (node.type == ChakraNodeType::kCollective)
        calls[rank][node.group].emplace_back(node.collective, node.bytes);
      if (node.type == ChakraNodeType::kSend) sent.emplace(node.src, node.dst, node.tag, node.bytes);
      if (node.type == ChakraNodeType::kReceive) received.emplace(node.src, node.dst, node.tag, node.bytes);
    }
  }
  for (std::size_t rank = 0; rank < traces.size(); ++rank) {
    for (const auto& [key, list] : calls[rank]) {
      const auto group = groups.find(key);
      if (group == groups.end()) return fmt::format("rank {}: there is no group {}", rank, key);
      for (const int member : group->second) {
        const auto m = static_cast<std::size_t>(member);
        if (m >= traces.size() || !calls[m].contains(key) || calls[m].at(key) != list)
          return fmt::format("ranks {} and {} of group {} call other collectives", rank, member, key);
      }
      if (std::find(group->second.begin(), group->second.end(), static_cast<int>(rank)) ==
          group->second.end())
        return fmt::format("rank {} is not in its group {}", rank, key);
    }
  }
  return sent == received
             ? ""
             : fmt::format("{} sends and {} receives do not match", sent.size(), received.size());
}

}  // namespace moeplan::planner
