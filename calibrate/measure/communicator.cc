#include "calibrate/measure/communicator.h"

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

namespace moeplan::calibrate {

namespace {

constexpr std::array<std::pair<Operation::Kind, const char*>, 8> kNames{{
    {Operation::Kind::kTransfers, "transfers"},
    {Operation::Kind::kPingPong, "ping_pong"},
    {Operation::Kind::kAllToAllV, "alltoallv"},
    {Operation::Kind::kAllToAll, "alltoall"},
    {Operation::Kind::kAllReduce, "all_reduce"},
    {Operation::Kind::kAllGather, "all_gather"},
    {Operation::Kind::kReduceScatter, "reduce_scatter"},
    {Operation::Kind::kBroadcast, "broadcast"},
}};

const char* name_of(Operation::Kind kind) {
  for (const auto& [known, name] : kNames)
    if (known == kind) return name;
  return "";
}

}  // namespace

std::string Operation::text() const {
  std::ostringstream out;
  out << name_of(kind) << ' ' << bytes << ' ' << transfers.size();
  for (const Transfer& t : transfers) out << ' ' << t.src << ' ' << t.dst << ' ' << t.bytes;
  return out.str();
}

Operation Operation::parse(std::string_view text, int ranks) {
  std::istringstream in{std::string(text)};
  std::string word;
  std::size_t count = 0;
  Operation result;
  in >> word >> result.bytes >> count;
  const auto found =
      std::find_if(kNames.begin(), kNames.end(), [&](const auto& known) { return word == known.second; });
  if (!in || found == kNames.end() || result.bytes < 0)
    throw BadOperation("\"" + std::string(text.substr(0, 40)) + "\" is no operation");
  result.kind = found->first;
  std::set<std::pair<int, int>> seen;
  for (std::size_t i = 0; i < count; ++i) {
    Transfer t;
    in >> t.src >> t.dst >> t.bytes;
    if (!in) throw BadOperation("an operation of " + std::to_string(count) + " transfers is cut off");
    const bool is_there = t.src >= 0 && t.src < ranks && t.dst >= 0 && t.dst < ranks;
    if (!is_there || t.src == t.dst || t.bytes < 1 || !seen.insert({t.src, t.dst}).second)
      throw BadOperation("a transfer of " + std::to_string(t.bytes) + " bytes from rank " + std::to_string(t.src) +
                         " to rank " + std::to_string(t.dst) + " of " + std::to_string(ranks));
    result.transfers.push_back(t);
  }
  return result;
}

std::int64_t Operation::buffer_bytes(int rank, int ranks) const {
  switch (kind) {
    case Kind::kTransfers:
    case Kind::kPingPong:
    case Kind::kAllToAllV: {
      std::int64_t sum = 0;
      for (const Transfer& t : transfers) sum += (t.src == rank ? t.bytes : 0) + (t.dst == rank ? t.bytes : 0);
      return kind == Kind::kPingPong ? 2 * sum : sum;
    }
    case Kind::kAllGather:
    case Kind::kReduceScatter:
      return bytes + bytes / ranks;
    case Kind::kBroadcast:
      return bytes;
    case Kind::kAllToAll:
    case Kind::kAllReduce:
      break;
  }
  return 2 * bytes;
}

bool Patience::is_over() {
  const base::Seconds now = clock_.now();
  if (last_ < now) waited_ += base::min(now - last_, kLongestStep);
  last_ = now;
  return limit_ < waited_;
}

}  // namespace moeplan::calibrate
