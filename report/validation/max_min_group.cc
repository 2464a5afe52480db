// Exact max-min fair finish times, one case per pair of files (max_min/CASE.links.csv and .flows.csv).
#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/parallel.h"
#include "report/validation/validate.h"
#include "sim/network/sharing.h"

namespace moeplan::report {

namespace {

/// What the flow model promises against the tables, whose digits end near 1e-12: relative.
constexpr double kExactness = 1e-6;

struct Problem {
  std::vector<sim::SharedLink> links;
  sim::FlowSet flows;
  std::vector<double> finish_s;  // [flow], as published
};

std::vector<sim::SharedLink> load_links(const std::string& path, std::map<std::string, base::LinkId>& ids) {
  const base::CsvTable table = base::load_csv(path);
  const std::size_t name = table.require_column("link");
  const std::size_t rate = table.require_column("bytes_per_s");
  const std::size_t latency = table.require_column("latency_s");
  base::DiagnosticSink sink;
  std::vector<sim::SharedLink> links;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    ids[table.cell(row, name)] = base::LinkId::from(row);
    links.push_back({base::BytesPerSecond::of(table.number(row, rate, sink)),
                     base::Seconds::of(table.number(row, latency, sink))});
  }
  sink.throw_if_any();
  return links;
}

std::vector<base::LinkId> parse_route(const std::string& text, const std::map<std::string, base::LinkId>& ids,
                                      const base::CsvTable& table, std::size_t row,
                                      base::DiagnosticSink& sink) {
  std::vector<base::LinkId> route;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('|', begin), text.size());
    const auto link = ids.find(text.substr(begin, end - begin));
    if (link == ids.end()) {
      sink.add({table.file(),
                {table.line(row), 1},
                "",
                fmt::format("route \"{}\" names a link that the links file lacks", text),
                ""});
      return {};
    }
    route.push_back(link->second);
    begin = end + 1;
  }
  return route;
}

Problem load_problem(const std::string& links_path, const std::string& flows_path) {
  Problem problem;
  std::map<std::string, base::LinkId> ids;
  problem.links = load_links(links_path, ids);
  const base::CsvTable table = base::load_csv(flows_path);
  const std::size_t bytes = table.require_column("bytes");
  const std::size_t start = table.require_column("start_s");
  const std::size_t route = table.require_column("route");
  const std::size_t finish = table.require_column("finish_s");
  base::DiagnosticSink sink;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const std::vector<base::LinkId> hops = parse_route(table.cell(row, route), ids, table, row, sink);
    problem.flows.add(hops, base::Bytes::of(table.integer(row, bytes, sink)),
                      base::Seconds::of(table.number(row, start, sink)));
    problem.finish_s.push_back(table.number(row, finish, sink));
  }
  sink.throw_if_any();
  return problem;
}

/// Baseline: every link is split evenly over all flows that ever use it, for good.
///   finish = start + sum of latencies + bytes * max over the route of (flows on the link / capacity)
std::vector<double> finish_under_even_split(const Problem& problem) {
  std::vector<int> users(problem.links.size(), 0);
  for (std::size_t flow = 0; flow < problem.flows.size(); ++flow) {
    for (const base::LinkId link : problem.flows.route(flow)) ++users[link.index()];
  }
  std::vector<double> finish;
  for (std::size_t flow = 0; flow < problem.flows.size(); ++flow) {
    double slowest = 0;
    double latency = 0;
    for (const base::LinkId link : problem.flows.route(flow)) {
      const sim::SharedLink& shared = problem.links[link.index()];
      slowest = std::max(slowest, users[link.index()] / shared.capacity.bytes_per_s());
      latency += shared.latency.s();
    }
    finish.push_back(problem.flows.start(flow).s() + latency +
                     problem.flows.bytes(flow).as_double() * slowest);
  }
  return finish;
}

std::size_t find_worst(const std::vector<double>& predicted, const std::vector<double>& measured) {
  std::size_t worst = 0;
  double size = -1;
  for (std::size_t flow = 0; flow < measured.size(); ++flow) {
    const double error = std::abs(predicted[flow] - measured[flow]) / measured[flow];
    if (error > size) {
      size = error;
      worst = flow;
    }
  }
  return worst;
}

Case judge(const std::string& name, const Problem& problem) {
  const auto sharing = sim::make_sharing({});
  std::vector<double> predicted;
  for (const base::Seconds finish : sharing->solve(problem.links, problem.flows).finish)
    predicted.push_back(finish.s());
  const std::vector<double> naive = finish_under_even_split(problem);

  Case judged;
  judged.name = name;
  judged.unit = "s";
  const std::size_t worst = find_worst(predicted, problem.finish_s);
  judged.measured = problem.finish_s[worst];
  judged.predicted = predicted[worst];
  // The baseline's own worst flow, as a figure of the same size of error about this flow.
  const std::size_t naive_worst = find_worst(naive, problem.finish_s);
  judged.naive = judged.measured * (naive[naive_worst] / problem.finish_s[naive_worst]);
  judged.band = Band{judged.predicted * (1.0 - kExactness), judged.predicted * (1.0 + kExactness)};
  judged.evidence = sim::Evidence::kMeasured;
  judged.note = fmt::format("worst of {} flows", problem.finish_s.size());
  return judged;
}

}  // namespace

GroupReport judge_max_min(const Context& context) {
  GroupReport report{"max_min", {}, {}, false};
  static const std::string kEnding = ".flows.csv";
  std::vector<std::string> names;
  std::vector<std::string> files;
  for (const std::string& file : context.corpus.list_cases("max_min", kEnding)) {
    const std::string name = fmt::format("{}#worst-flow", file);
    const std::string links = fmt::format("{}.links.csv", file.substr(0, file.size() - kEnding.size()));
    if (!context.selection.has_case("max_min", name)) continue;
    if (!context.corpus.find_cases(links)) {
      report.skipped.push_back({name, fmt::format("{} is missing", links), true});
      continue;
    }
    names.push_back(name);
    files.push_back(file.substr(0, file.size() - kEnding.size()));
  }
  report.cases.resize(names.size());
  base::parallel_for(names.size(), context.threads, [&](std::size_t i) {
    const std::string links = *context.corpus.find_cases(fmt::format("{}.links.csv", files[i]));
    const std::string flows = *context.corpus.find_cases(fmt::format("{}{}", files[i], kEnding));
    report.cases[i] = judge(names[i], load_problem(links, flows));
  });
  return report;
}

}  // namespace moeplan::report
