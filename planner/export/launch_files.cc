#include "planner/export/launch_files.h"

#include <algorithm>
#include <array>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/csv.h"
#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

constexpr int kMaxRanks = 1 << 24;

struct Line {
  std::string_view text;
  int number = 0;
};

std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back({text.substr(0, std::min(end, text.find('#'))), number});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string> split_words(std::string_view line) {
  std::vector<std::string> words;
  constexpr std::string_view kBlank = " \t\r";
  while (true) {
    const std::size_t start = line.find_first_not_of(kBlank);
    if (start == std::string_view::npos) return words;
    line.remove_prefix(start);
    const std::size_t end = std::min(line.find_first_of(kBlank), line.size());
    words.emplace_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

/// Host names and addresses; nothing that a shell or a host list reads otherwise.
bool is_host(const std::string& word) {
  return word.front() != '-' && std::all_of(word.begin(), word.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                  c == '-' || c == '_';
         });
}

void check_slots(const std::vector<std::string>& words, int gpus_per_node, base::Position at,
                 const std::string& file, base::DiagnosticSink& sink) {
  for (const std::string& word : words) {
    if (word.rfind("slots=", 0) != 0) continue;
    const auto slots = base::parse_integer(std::string_view(word).substr(6));
    if (!slots || *slots < gpus_per_node)
      sink.add({file, at, "",
                fmt::format("found {}, expected slots={} or more", base::excerpt(word), gpus_per_node),
                "--gpus-per-node says how many ranks a host takes"});
  }
}

/// What every script begins with.
std::string head(const RankOrder& order, const char* use) {
  return fmt::format(
      "#!/usr/bin/env bash\n"
      "# {} ranks on {} hosts, {} a host: rank r is on GPU r mod {} of host r / {}.\n"
      "# {}\n"
      "set -euo pipefail\n"
      "here=$(cd \"$(dirname \"${{BASH_SOURCE[0]}}\")\" && pwd)\n",
      order.ranks, order.hosts.size(), order.gpus_per_host, order.gpus_per_host, order.gpus_per_host, use);
}

/// A bash function: is this machine the one that the list calls $1? Compares names with and without domain,
/// and addresses.
constexpr const char* kIsThisHost =
    "is_this_host() {\n"
    "  local own\n"
    "  for own in $(hostname) $(hostname -s) $(hostname -I 2>/dev/null || true); do\n"
    "    [ \"$own\" = \"$1\" ] && return 0\n"
    "  done\n"
    "  case $1 in *[!0-9.]*) [ \"$(hostname -s)\" = \"${1%%.*}\" ] ;; *) return 1 ;; esac\n"
    "}\n";

std::string host_list(const RankOrder& order) {
  return fmt::format("hosts=({})\n", fmt::join(order.hosts, " "));
}

/// A rank's place: tp, cp, dp, pp, etp, ep, edp.
using Place = std::array<int, 7>;
constexpr std::array<const char*, 7> kAxes = {"tp", "cp", "dp", "pp", "etp", "ep", "edp"};

Place place_of(const sim::ParallelLayout& l, int rank) {
  const base::RankId id(rank);
  const int in_stage = rank % l.ranks_per_stage();
  return {l.tp_index(id),   in_stage / l.tp % l.cp, l.dp_index(id), l.stage_of(id),
          in_stage % l.etp, l.ep_index(id),         l.edp_index(id)};
}

}  // namespace

std::vector<std::string> read_hosts(std::string_view text, const std::string& file, int gpus_per_node) {
  base::DiagnosticSink sink;
  std::vector<std::string> hosts;
  for (const Line& line : split_lines(text)) {
    const std::vector<std::string> words = split_words(line.text);
    if (words.empty()) continue;
    const base::Position at{line.number, static_cast<int>(line.text.find(words.front())) + 1};
    const std::string& host = words.front();
    if (!is_host(host)) {
      sink.add({file, at, "",
                fmt::format("found {}, expected the name or address of a host", base::excerpt(host)), ""});
    } else if (std::find(hosts.begin(), hosts.end(), host) != hosts.end()) {
      sink.add({file, at, "", fmt::format("host {} stands twice", host),
                "one line a host; --gpus-per-node says how many ranks it takes"});
    }
    check_slots(words, gpus_per_node, at, file, sink);
    hosts.push_back(host);
  }
  sink.throw_if_any();
  if (hosts.empty())
    throw base::InputError({base::Diagnostic{file, {}, "", "no hosts, expected one a line", ""}});
  return hosts;
}

RankOrder make_rank_order(const sim::PlanSpec& plan, const std::vector<std::string>& hosts,
                          int gpus_per_node) {
  RankOrder order;
  order.ranks = plan.layout.world();
  order.gpus_per_host = std::min(gpus_per_node, order.ranks);
  const int needed = (order.ranks + order.gpus_per_host - 1) / order.gpus_per_host;
  if (order.ranks % order.gpus_per_host != 0)
    throw base::InputError(fmt::format("{} ranks do not fill hosts of {} GPUs", order.ranks, gpus_per_node),
                           "--gpus-per-node says how many ranks a host takes");
  if (static_cast<int>(hosts.size()) < needed)
    throw base::InputError(fmt::format("found {} hosts, but {} ranks at {} a host need {}", hosts.size(),
                                       order.ranks, order.gpus_per_host, needed));
  order.hosts.assign(hosts.begin(), hosts.begin() + needed);
  return order;
}

std::string write_hostfile(const RankOrder& order) {
  std::string text;
  for (const std::string& host : order.hosts) text += fmt::format("{} slots={}\n", host, order.gpus_per_host);
  return text;
}

std::string write_slurm_hosts(const RankOrder& order) {
  std::string text;
  for (int rank = 0; rank < order.ranks; ++rank)
    text += order.hosts[static_cast<std::size_t>(rank / order.gpus_per_host)] + "\n";
  return text;
}

std::string write_rank_table(const RankOrder& order, const sim::ParallelLayout& layout) {
  std::string text = fmt::format("rank,host,local_rank,{}\n", fmt::join(kAxes, ","));
  for (int rank = 0; rank < order.ranks; ++rank)
    text +=
        fmt::format("{},{},{},{}\n", rank, order.hosts[static_cast<std::size_t>(rank / order.gpus_per_host)],
                    rank % order.gpus_per_host, fmt::join(place_of(layout, rank), ","));
  return text;
}

sim::ParallelLayout read_rank_table(std::string_view text, const std::string& file) {
  const base::CsvTable table = base::parse_csv(text, file);
  base::DiagnosticSink sink;
  const std::size_t rank = table.require_column("rank");
  std::array<std::size_t, kAxes.size()> columns{};
  for (std::size_t a = 0; a < kAxes.size(); ++a) columns[a] = table.require_column(kAxes[a]);
  Place degrees{};
  std::vector<Place> places(table.rows());
  for (std::size_t r = 0; r < table.rows(); ++r) {
    if (table.integer(r, rank, sink) != static_cast<std::int64_t>(r))
      table.fault(r, rank, fmt::format("found rank {}, expected {}", base::excerpt(table.cell(r, rank)), r),
                  sink);
    for (std::size_t a = 0; a < kAxes.size(); ++a) {
      const std::int64_t index = table.integer(r, columns[a], sink);
      if (index < 0 || index >= kMaxRanks) {
        table.fault(r, columns[a],
                    fmt::format("found {}, expected an index on {}", base::excerpt(table.cell(r, columns[a])),
                                kAxes[a]),
                    sink);
        continue;
      }
      places[r][a] = static_cast<int>(index);
      degrees[a] = std::max(degrees[a], static_cast<int>(index) + 1);
    }
  }
  sink.throw_if_any();
  sim::ParallelLayout l;
  l.tp = degrees[0], l.cp = degrees[1], l.dp = degrees[2], l.pp = degrees[3];
  l.etp = degrees[4], l.ep = degrees[5], l.edp = degrees[6];
  const auto rows = static_cast<std::int64_t>(table.rows());
  const std::int64_t dense = std::int64_t{l.tp} * l.cp * l.dp;
  const std::int64_t expert = std::int64_t{l.etp} * l.ep * l.edp;
  if (rows == 0 || dense > rows || expert != dense || dense * l.pp != rows)
    throw base::InputError({base::Diagnostic{
        file,
        {},
        "",
        fmt::format("{} ranks are no grid of tp {} x cp {} x dp {} x pp {} and etp {} x ep {} x edp {}", rows,
                    l.tp, l.cp, l.dp, l.pp, l.etp, l.ep, l.edp),
        ""}});
  for (std::size_t r = 0; r < places.size(); ++r) {
    if (const Place want = place_of(l, static_cast<int>(r)); places[r] != want)
      table.fault(r, rank,
                  fmt::format("rank {} stands at {}, expected {} ({})", r, fmt::join(places[r], ","),
                              fmt::join(want, ","), fmt::join(kAxes, ",")),
                  sink);
  }
  sink.throw_if_any();
  return l;
}

std::string write_mpirun_script(const RankOrder& order) {
  return head(order,
              "Use: mpirun.sh COMMAND..., on any host; further options for mpirun in $MPIRUN_OPTIONS. Open "
              "MPI.") +
         "[ $# -gt 0 ] || { echo 'error: no command; use: mpirun.sh COMMAND...' >&2; exit 2; }\n" +
         fmt::format(
             "exec mpirun -np {} --hostfile \"$here/hostfile\" --map-by slot --bind-to none "
             "${{MPIRUN_OPTIONS:-}} \\\n"
             "  bash \"$here/rank.sh\" \"$@\"\n",
             order.ranks);
}

std::string write_srun_script(const RankOrder& order) {
  return head(order,
              "Use: srun.sh COMMAND..., inside an allocation of these hosts; further options for srun in "
              "$SRUN_OPTIONS.") +
         "[ $# -gt 0 ] || { echo 'error: no command; use: srun.sh COMMAND...' >&2; exit 2; }\n"
         "export SLURM_HOSTFILE=$here/slurm-hosts\n" +
         fmt::format(
             "exec srun --ntasks={} --distribution=arbitrary ${{SRUN_OPTIONS:-}} \\\n"
             "  bash \"$here/rank.sh\" \"$@\"\n",
             order.ranks);
}

std::string write_torchrun_script(const RankOrder& order) {
  return head(order,
              "Use: torchrun.sh SCRIPT ARGUMENT..., on every host. The order of the list is the order of the "
              "nodes.") +
         host_list(order) + kIsThisHost +
         "[ $# -gt 0 ] || { echo 'error: no script; use: torchrun.sh SCRIPT ARGUMENT...' >&2; exit 2; }\n"
         "node=-1\n"
         "for i in \"${!hosts[@]}\"; do\n"
         "  if is_this_host \"${hosts[$i]}\"; then node=$i; break; fi\n"
         "done\n"
         "[ \"$node\" -ge 0 ] || { echo \"error: $(hostname) is not in the list of hosts\" >&2; exit 3; }\n" +
         fmt::format(
             "exec torchrun --nnodes {} --nproc-per-node {} --node-rank \"$node\" \\\n"
             "  --master-addr \"${{MASTER_ADDR:-${{hosts[0]}}}}\" --master-port \"${{MASTER_PORT:-29500}}\" "
             "\"$@\"\n",
             order.hosts.size(), order.gpus_per_host);
}

std::string write_rank_script(const RankOrder& order) {
  return head(order, "Use: mpirun.sh and srun.sh start it on every rank.") + host_list(order) + kIsThisHost +
         "rank=${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-${SLURM_PROCID:-}}}\n"
         "local_rank=${OMPI_COMM_WORLD_LOCAL_RANK:-${SLURM_LOCALID:-}}\n"
         "size=${OMPI_COMM_WORLD_SIZE:-${SLURM_NTASKS:-}}\n"
         "[ -n \"$rank\" ] || { echo 'error: neither Open MPI nor Slurm says which rank this is' >&2; exit "
         "3; }\n" +
         fmt::format("[ \"$size\" = {} ] || {{ echo \"error: $size ranks, planned are {}\" >&2; exit 3; }}\n",
                     order.ranks, order.ranks) +
         fmt::format("host=${{hosts[$((rank / {}))]}}\n", order.gpus_per_host) +
         "if ! is_this_host \"$host\"; then\n"
         "  echo \"error: rank $rank is on $(hostname), planned is $host\" >&2\n"
         "  exit 3\n"
         "fi\n" +
         fmt::format("if [ \"$local_rank\" != $((rank % {})) ]; then\n", order.gpus_per_host) +
         fmt::format(
             "  echo \"error: rank $rank is number $local_rank on $host, planned is $((rank % {}))\" >&2\n",
             order.gpus_per_host) +
         "  exit 3\n"
         "fi\n"
         "export RANK=$rank LOCAL_RANK=$local_rank WORLD_SIZE=$size\n"
         "export MASTER_ADDR=${MASTER_ADDR:-${hosts[0]}} MASTER_PORT=${MASTER_PORT:-29500}\n"
         "exec \"$@\"\n";
}

}  // namespace moeplan::planner
