#include "calibrate/measure/rank_device.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "calibrate/measure/json_line.h"
#include "calibrate/measure/measurement.h"

namespace moeplan::calibrate {

namespace {

constexpr std::string_view kOk = "ok";

/// One rank's part of the protocol, on rank 0 as elsewhere.
std::string answer_line(const std::string& line, Communicator& communicator,
                        std::unique_ptr<RankWorkload>& current) {
  std::istringstream in(line);
  std::string verb;
  in >> verb;
  try {
    if (verb == "prepare") {
      current.reset();  // its memory is free before the next one asks for some
      current = communicator.prepare(Operation::parse(line.substr(verb.size() + 1), communicator.ranks()));
      return std::string(kOk);
    }
    if (!current) return "nothing is prepared";
    if (verb == "run") {
      int repetitions = 0;
      in >> repetitions;
      return "ok " + JsonLine::format(current->run(repetitions).s());
    }
    const std::string fault = current->check();
    return fault.empty() ? std::string(kOk) : fault;
  } catch (const Unsupported& reason) {
    return reason.what();
  } catch (const BadOperation& reason) {
    return reason.what();
  } catch (const std::bad_alloc&) {
    return "not enough memory";
  }
}

/// The first answer that is a fault, with its rank; empty where all are well.
std::string first_fault(const std::vector<std::string>& answers) {
  for (std::size_t r = 0; r < answers.size(); ++r)
    if (answers[r].compare(0, kOk.size(), kOk) != 0) return "rank " + std::to_string(r) + ": " + answers[r];
  return "";
}

class AllRanks : public Workload {
 public:
  AllRanks(RankDevice& device, const Case& what, Operation operation, std::string software)
      : device_(device), what_(what), operation_(std::move(operation)), software_(std::move(software)) {}

  base::Seconds run(int repetitions) override {
    const std::vector<std::string> answers = device_.command("run " + std::to_string(repetitions));
    if (const std::string fault = first_fault(answers); !fault.empty()) throw BadMeasurement(fault);
    double slowest = -1.0;
    for (const std::string& text : answers) slowest = std::max(slowest, std::strtod(text.c_str() + 3, nullptr));
    const base::Seconds all = base::Seconds::of(slowest);
    device_.note_time(what_, all / static_cast<double>(repetitions));
    return all;
  }
  std::string fault() override { return first_fault(device_.command("check")); }
  int most_repetitions() const override { return 1 << 10; }
  double bytes() const override {
    double sum = 0.0;
    for (const Operation::Transfer& t : operation_.transfers) sum += static_cast<double>(t.bytes);
    return operation_.transfers.empty() ? static_cast<double>(operation_.bytes) : sum;
  }
  std::string software() const override { return software_; }

 private:
  RankDevice& device_;
  Case what_;
  Operation operation_;
  std::string software_;
};

/// Share of each receiver: proportional to 1 / place^exponent, the places being the ranks from `seed` on.
Operation skewed(const Case& what, int ranks) {
  Operation operation;
  operation.kind = Operation::Kind::kAllToAllV;
  const std::string& skew = what.word("skew");
  const double exponent = skew == "uniform" ? 0.0 : std::strtod(skew.c_str() + skew.rfind('_') + 1, nullptr);
  const auto first = static_cast<int>(what.number("hot") % ranks);
  const auto weight = [&](int dst) {
    return std::pow(static_cast<double>((dst - first + ranks) % ranks + 1), -exponent);
  };
  for (int src = 0; src < ranks; ++src) {
    double sum = 0.0;
    for (int dst = 0; dst < ranks; ++dst) sum += dst == src ? 0.0 : weight(dst);
    const double all = static_cast<double>(what.number("bytes")) * (ranks - 1);
    for (int dst = 0; dst < ranks; ++dst) {
      const auto bytes = static_cast<std::int64_t>(std::llround(all * weight(dst) / sum));
      if (dst != src && bytes > 0) operation.transfers.push_back({src, dst, bytes});
    }
  }
  return operation;
}

Operation collective(const Case& what, const RankLayout& layout) {
  if (what.number("nodes") != layout.nodes || what.number("gpus_per_node") != layout.per_node)
    throw BadOperation("asks for " + what.word("nodes") + " nodes of " + what.word("gpus_per_node") +
                       " ranks, found " + std::to_string(layout.nodes) + " of " + std::to_string(layout.per_node));
  static const std::map<std::string, Operation::Kind> kinds{
      {"all_gather", Operation::Kind::kAllGather},         {"all_reduce", Operation::Kind::kAllReduce},
      {"reduce_scatter", Operation::Kind::kReduceScatter}, {"alltoall", Operation::Kind::kAllToAll},
      {"broadcast", Operation::Kind::kBroadcast},
  };
  Operation operation;
  operation.kind = kinds.at(what.word("collective"));
  // Blocks of whole floats, one for each rank.
  const std::int64_t unit = 4LL * layout.ranks();
  operation.bytes = std::max<std::int64_t>(1, what.number("bytes") / unit) * unit;
  return operation;
}

int rank_of(const Case& what, const char* key, int ranks) {
  const std::int64_t rank = what.number(key);
  if (rank >= ranks)
    throw BadOperation("there is no rank " + std::to_string(rank) + " among " + std::to_string(ranks));
  return static_cast<int>(rank);
}

}  // namespace

RankLayout RankLayout::of(const std::vector<std::string>& host_of_rank) {
  RankLayout layout;
  std::vector<int> counts;
  for (const std::string& host : host_of_rank) {
    if (!layout.hosts.empty() && layout.hosts.back() == host) {
      ++counts.back();
      continue;
    }
    if (std::find(layout.hosts.begin(), layout.hosts.end(), host) != layout.hosts.end())
      throw BadOperation("the ranks of host " + host + " do not follow one another; place ranks host by host " +
                         "(mpirun --map-by slot)");
    layout.hosts.push_back(host);
    counts.push_back(1);
  }
  for (std::size_t i = 1; i < counts.size(); ++i)
    if (counts[i] != counts[0])
      throw BadOperation("host " + layout.hosts[0] + " holds " + std::to_string(counts[0]) + " ranks and host " +
                         layout.hosts[i] + " " + std::to_string(counts[i]) + ", expected the same number on each");
  layout.nodes = static_cast<int>(counts.size());
  layout.per_node = counts.empty() ? 1 : counts[0];
  return layout;
}

Operation operation_of(const Case& what, const RankLayout& layout) {
  const int n = layout.ranks();
  Operation operation;
  if (what.kind() == "pair" || what.kind() == "ping_pong") {
    const int src = rank_of(what, "src", n), dst = rank_of(what, "dst", n);
    if (src == dst) throw BadOperation("rank " + std::to_string(src) + " and itself are no pair");
    operation.kind = what.kind() == "pair" ? Operation::Kind::kTransfers : Operation::Kind::kPingPong;
    operation.transfers.push_back({src, dst, what.number("bytes")});
  } else if (what.kind() == "grouped") {
    const std::int64_t first = what.number("first"), peers = what.number("peers");
    if (first + peers > n)
      throw BadOperation("each of " + std::to_string(n) + " ranks has " + std::to_string(n - 1) + " peers");
    for (int src = 0; src < n; ++src)
      for (std::int64_t k = first; k < first + peers; ++k)
        operation.transfers.push_back({src, static_cast<int>((src + k) % n), what.number("bytes")});
  } else if (what.kind() == "alltoallv") {
    operation = skewed(what, n);
  } else if (what.kind() == "collective") {
    operation = collective(what, layout);
  } else {
    throw BadOperation("a case of kind " + what.kind() + " is not measured between ranks");
  }
  return operation;
}

RankDevice::RankDevice(Communicator& communicator, base::Seconds longest)
    : communicator_(communicator), longest_(longest) {
  communicator_.share("hosts");
  try {
    layout_ = RankLayout::of(communicator_.collect(communicator_.host()));
  } catch (const BadOperation& error) {
    stop(error.what());
    throw;
  }
}

RankDevice::~RankDevice() {
  try {
    stop("");
  } catch (const std::exception&) {  // nobody is there to be stopped
  }
}

void RankDevice::stop(const std::string& reason) {
  if (stopped_) return;
  stopped_ = true;
  current_.reset();
  communicator_.share("stop " + reason);
}

std::vector<std::pair<std::string, std::string>> RankDevice::facts() {
  std::string hosts;
  for (const std::string& host : layout_.hosts) hosts += (hosts.empty() ? "" : " ") + host;
  return {{"gpu_name", "mpi"},
          {"mpi", communicator_.software()},
          {"nodes", std::to_string(layout_.nodes)},
          {"ranks_per_node", std::to_string(layout_.per_node)},
          {"hosts", hosts},
          {"host_memory_mib", std::to_string(communicator_.host_memory().count() >> 20)}};
}

std::vector<std::string> RankDevice::command(const std::string& line) {
  communicator_.share(line);
  return communicator_.collect(answer_line(line, communicator_, current_));
}

void RankDevice::note_time(const Case& what, base::Seconds time) {
  if (what.kind() == "traffic") return;
  const std::string pattern = what.key().substr(0, what.key().rfind(" bytes="));
  auto& [bytes, seconds] = seen_[pattern];
  const auto now = static_cast<double>(what.number("bytes"));
  if (now >= bytes) seen_[pattern] = {now, time.s()};
}

void RankDevice::require_time(const Case& what) const {
  if (what.kind() == "traffic") return;
  const auto bytes = static_cast<double>(what.number("bytes"));
  const std::string pattern = what.key().substr(0, what.key().rfind(" bytes="));
  double expected = 0.0;
  if (const auto found = seen_.find(pattern); found != seen_.end()) {
    expected = found->second.second * bytes / found->second.first;
  } else {  // a pattern that is new: as the slowest byte of any other of that kind did
    for (const auto& [other, time] : seen_)
      if (other.substr(0, other.find(' ')) == what.kind() && time.first >= 0.01 * bytes)
        expected = std::max(expected, time.second * bytes / time.first);
  }
  if (expected > longest_.s())
    throw NoTime("one repetition would take about " + JsonLine::format(std::round(expected * 10.0) / 10.0) + " s");
}

std::unique_ptr<Workload> RankDevice::prepare(const Case& what) {
  require_time(what);
  Operation operation;
  try {
    const auto traffic = traffic_.find(what.key());
    operation = traffic != traffic_.end() ? traffic->second : operation_of(what, layout_);
  } catch (const BadOperation& reason) {
    throw Unsupported(reason.what());
  }
  const std::string fault = first_fault(command("prepare " + operation.text()));
  if (!fault.empty()) throw Unsupported(fault);
  return std::make_unique<AllRanks>(*this, what, std::move(operation), communicator_.software());
}

std::string serve_rank(Communicator& communicator) {
  std::unique_ptr<RankWorkload> current;
  while (true) {
    const std::string line = communicator.share("");
    if (line.compare(0, 5, "stop ") == 0) return line.substr(5);
    if (line == "hosts")
      communicator.collect(communicator.host());
    else
      communicator.collect(answer_line(line, communicator, current));
  }
}

}  // namespace moeplan::calibrate
