// Every fabric in every verb that simulates traffic, through the same entry as main().
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/files.h"
#include "cli/command.h"
#include "tests/support/corpus.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

struct Fabric {
  const char* name;
  const char* text;
};

void PrintTo(const Fabric& fabric, std::ostream* out) { *out << fabric.name; }

const Fabric kFabrics[] = {
    {"ThreeLevels",
     "{kind: fat_tree, nodes_per_leaf: 1, latency: 1 us, pods: {leaves: 2, oversubscription: 2, latency: 1 "
     "us}}"},
    {"Dragonfly",
     "{kind: dragonfly, groups: 2, routers_per_group: 2, nodes_per_router: 1, local: {bandwidth: 400 Gb/s, "
     "latency: 1 us}, "
     "global: {count: 2, bandwidth: 400 Gb/s, latency: 1 us}}"},
    {"Torus", "{kind: torus, size: [2, 2], links: {count: 2, bandwidth: 400 Gb/s, latency: 1 us}}"},
    {"Graph",
     "{kind: graph, switches: [a, b], links: [{from: a, to: b, count: 4, bandwidth: 400 Gb/s, latency: 1 "
     "us}], "
     "attach: [{switch: a, nodes: 0-1}, {switch: b, nodes: 2-3}]}"},
    {"Ecmp", "{kind: fat_tree, nodes_per_leaf: 2, latency: 1 us, routing: ecmp, queue_pairs: 2}"},
    {"Static", "{kind: fat_tree, nodes_per_leaf: 2, latency: 1 us, routing: static}"},
};

class FabricVerbs : public testing::TestWithParam<Fabric> {
 protected:
  FabricVerbs() {
    write("run.yaml", "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n");
    write("plan.yaml", "name: wide\nlayout:\n  tp: 1\n  pp: 1\n  ep: 8\n  dp: 8\nmicro_batch: 1\n");
    write("c.yaml",
          fmt::format(
              "name: c\nnodes: 4\nnode:\n  gpus: 2\n  gpu: H100-SXM\n  memory: 80 GiB\n  profile: h100-sxm\n"
              "  nvlink: {{kind: switch, bandwidth: 450 GB/s, latency: 0.5 us}}\n"
              "  nics: {{count: 2, bandwidth: 400 Gb/s, latency: 1 us}}\nfabric: {}\n",
              GetParam().text));
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  void write(const std::string& name, const std::string& text) const {
    base::write_file_atomically(path(name), text);
  }
  std::string run(const std::vector<std::string>& arguments) const {
    std::vector<const char*> argv{"moeplan"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out, err;
    EXPECT_EQ(run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err}), kOk) << err.str();
    return out.str();
  }
  bool is_ecmp() const { return std::string(GetParam().name) == "Ecmp"; }
  moeplan::test::TemporaryFolder folder_;
};

TEST_P(FabricVerbs, AnswersNetworkInTheFormOfTheSchema) {
  const std::string json = run({"network", "--cluster", path("c.yaml"), "--traffic", "zipf-pair:1.0",
                                "--json", "--explain", "--timeline", path("t.csv"), "--bins", "5"});
  const base::Node schema =
      base::load_document((test::source_root() / "docs/schema/network.json").string()).root;
  EXPECT_EQ(test::find_schema_fault(schema, base::parse_json(json, "out").root), "");
  EXPECT_EQ(json.find("\"ecmp\"") != std::string::npos, is_ecmp());
  EXPECT_THAT(json, HasSubstr("\"bottleneck\": \"nvl_dn1\""));
  EXPECT_THAT(base::read_text_file(path("t.csv")), HasSubstr("link,start_s,end_s,bytes,busy\nnvl_up0,0,"));
  const std::vector<std::string> again{"network",       "--cluster", path("c.yaml"), "--traffic",
                                       "zipf-pair:1.0", "--json",    "--explain"};
  std::vector<std::string> one = again, two = again;
  one.insert(one.end(), {"--threads", "1"});
  two.insert(two.end(), {"--threads", "3"});
  EXPECT_EQ(run(one), run(two));
  EXPECT_EQ(run(one), json);
}

TEST_P(FabricVerbs, SimulatesAStepAndSaysWhereHashingIsLeftOut) {
  const std::string text = run({"simulate", "--cluster", path("c.yaml"), "--model", "tiny-moe", "--run",
                                path("run.yaml"), "--plan", path("plan.yaml")});
  if (is_ecmp()) {
    EXPECT_THAT(text, HasSubstr("the cluster's ecmp is taken as spray"));
  } else {
    EXPECT_THAT(text, Not(HasSubstr("ecmp")));
  }
}

TEST_P(FabricVerbs, PlansOnIt) {
  const std::string json = run({"plan", "--cluster", path("c.yaml"), "--model", "tiny-moe", "--run",
                                path("run.yaml"), "--budget", "20", "--top", "1", "--json"});
  EXPECT_THAT(json, HasSubstr("\"status\": \"ok\""));
}

INSTANTIATE_TEST_SUITE_P(Kinds, FabricVerbs, testing::ValuesIn(kFabrics),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace moeplan::cli
