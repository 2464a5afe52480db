#include "cli/network_command.h"

#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "tests/support/corpus.h"

namespace moeplan::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Two flows over one 10 GB/s link: 20 and 30 us (see flow_sharing_test.cc).
class NetworkCommand : public testing::Test {
 protected:
  NetworkCommand() {
    write("l.csv", "link,bytes_per_s,latency_s\nidle,1e9,0\na,1e10,0\n");
    write("t.csv", "src,dst,bytes,route,remark\n3,4,100000,a,x\n5,4,200000,a,y\n");
    options_.links = (folder_.path() / "l.csv").string();
    options_.traffic = (folder_.path() / "t.csv").string();
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
  }
  std::string run() {
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(run_network(options_, Console{out, err}), kOk);
    return out.str();
  }
  moeplan::test::TemporaryFolder folder_;
  NetworkOptions options_;
};

TEST_F(NetworkCommand, WritesTheKeysOfTheContractInInputOrder) {
  options_.common.json = true;
  const std::string text = run();
  EXPECT_THAT(text, HasSubstr("\"schema\": \"moeplan.network/1\""));
  EXPECT_THAT(text, HasSubstr("\"moeplan_version\""));
  EXPECT_THAT(
      text, testing::ContainsRegex("\"completion_s\": 3e-05|\"completion_s\": 2.99|\"completion_s\": 3.00"));
  EXPECT_LT(text.find("\"src\": 3"), text.find("\"src\": 5"));
  EXPECT_LT(text.find("\"name\": \"idle\""), text.find("\"name\": \"a\""));
  EXPECT_THAT(text, HasSubstr("\"bytes\": 300000"));
  EXPECT_THAT(text, HasSubstr("\"busy\": 0"));
  options_.summary = true;
  const std::string summary = run();
  EXPECT_THAT(summary, Not(HasSubstr("\"flows\"")));
  EXPECT_THAT(summary, HasSubstr("\"links\""));
}

TEST_F(NetworkCommand, PrintsATableWithoutJsonAndWritesFilesWhole) {
  EXPECT_THAT(run(), HasSubstr("2 flows, "));
  EXPECT_THAT(run(), HasSubstr("busiest links"));
  options_.common.output = (folder_.path() / "out.txt").string();
  EXPECT_EQ(run(), "");
  std::ifstream file(options_.common.output);
  EXPECT_THAT(std::string(std::istreambuf_iterator<char>(file), {}), HasSubstr("2 flows, "));
}

TEST_F(NetworkCommand, RefusesAWindowWithoutWidthAndAmbiguousNetworks) {
  const auto fault = [&] {
    try {
      run();
      return std::string();
    } catch (const base::InputError& error) {
      return std::string(error.what());
    }
  };
  options_.sharing = "window";
  EXPECT_THAT(fault(), HasSubstr("found a window of 0"));
  options_.window = 2;
  EXPECT_EQ(fault(), "");
  options_.sharing = "flow";
  EXPECT_THAT(fault(), HasSubstr("a window belongs to"));
  options_.window = 0;
  options_.sharing = "bound";
  options_.tolerance = 0.1;
  EXPECT_THAT(fault(), HasSubstr("tolerance"));
  options_.tolerance = 0;
  EXPECT_EQ(fault(), "");
  options_.cluster = "hgx-h100-1n";
  EXPECT_THAT(fault(), HasSubstr("either --cluster or --links"));
  options_.links.clear();
  options_.traffic = "uniform:1 MiB";
  EXPECT_EQ(fault(), "");
}

TEST_F(NetworkCommand, NamesBottlenecksOnlyWhereItIsAsked) {
  EXPECT_THAT(run(), Not(HasSubstr("limited by")));
  options_.explain = true;
  EXPECT_THAT(run(), HasSubstr("limited by"));
  EXPECT_THAT(run(), HasSubstr("a (100 %)"));
  options_.common.json = true;
  EXPECT_THAT(run(), testing::ContainsRegex("\"bottleneck\": \"a\",\n *\"limits\""));
}

TEST_F(NetworkCommand, WritesWhatLinksCarryInEachBin) {
  // 300 kB over 30 us at 10 GB/s throughout; the idle link has no rows.
  options_.timeline = (folder_.path() / "time.csv").string();
  options_.bins = 3;
  run();
  std::ifstream file(options_.timeline);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}),
            "link,start_s,end_s,bytes,busy\n"
            "a,0,1e-05,100000,1.000000\na,1e-05,2e-05,100000,1.000000\na,2e-05,3e-05,100000,1.000000\n");
}

TEST_F(NetworkCommand, RefusesALogOfTheBoundAndTooManyBinsAndTooFewDraws) {
  const auto fault = [&] {
    try {
      run();
      return std::string();
    } catch (const base::InputError& error) {
      return std::string(error.what());
    }
  };
  options_.explain = true;
  options_.sharing = "bound";
  EXPECT_THAT(fault(), HasSubstr("the sharing mode \"bound\" does not say what limits a flow"));
  options_.sharing = "flow";
  options_.bins = 0;
  EXPECT_THAT(fault(), HasSubstr("found 0 bins, expected 1 to 10000"));
  options_.bins = 10;
  options_.draws = 31;
  EXPECT_THAT(fault(), HasSubstr("found 31 draws, expected 32 or more"));
}

}  // namespace
}  // namespace moeplan::cli
