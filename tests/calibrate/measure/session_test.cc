#include "calibrate/measure/session.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "calibrate/measure/default_cases.h"
#include "calibrate/measure/loads.h"
#include "tests/calibrate/measure/fake_device.h"

namespace moeplan::calibrate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string fault_of(const std::string& text) {
  try {
    parse_cases(text, "shapes.txt");
  } catch (const CaseError& error) {
    return error.what();
  }
  return "";
}

TEST(Cases, AFaultHasItsPlaceWhatWasFoundAndWhatWasExpected) {
  EXPECT_THAT(fault_of("# a\n\ngem m=1\n"),
              HasSubstr("shapes.txt:3:1: error: kind \"gem\" is unknown, expected one of gemm"));
  EXPECT_THAT(fault_of("launch op=sync m=1"),
              HasSubstr("shapes.txt:1:16: error: key \"m\" is unknown to launch"));
  EXPECT_THAT(fault_of("copy direction=up bytes=1"), HasSubstr(":1:16: error: direction \"up\" is unknown"));
  EXPECT_THAT(fault_of("copy direction=host_to_device"), HasSubstr("copy lacks the key \"bytes\""));
  for (const char* bytes : {"0", "-1", "1e3", "01", "9999999999999999999"})
    EXPECT_THAT(fault_of(std::string("copy direction=host_to_device bytes=") + bytes),
                HasSubstr("no whole number"))
        << bytes;
  EXPECT_THAT(fault_of("launch op=sync op=sync"), HasSubstr("stands there twice"));
}

TEST(Cases, AKeyIsCanonicalAndReadsBackAsItself) {
  const Case what = Case::parse("gemm k=3  n=2 m=1 pass=forward format=bf16");
  EXPECT_EQ(what.key(), "gemm format=bf16 pass=forward m=1 n=2 k=3 l2=cold");
  EXPECT_EQ(what.shape_json(),
            R"({"format": "bf16", "pass": "forward", "m": 1, "n": 2, "k": 3, "l2": "cold"})");
  for (const Case& one : default_cases()) EXPECT_EQ(Case::parse(one.key()).key(), one.key());
}

TEST(Loads, HoldAllRowsAndFollowTheirDistribution) {
  EXPECT_THAT(make_loads("balanced", 3, 7), ElementsAre(7, 7, 7));
  // Zipf 1 over 3: shares 6/11, 3/11, 2/11 of 96 rows, 52.4, 26.2, 17.5, in multiples of 16 from behind.
  EXPECT_THAT(make_loads("zipf_1.0", 3, 32), ElementsAre(64, 16, 16));
}

class Sessions : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              ("moeplan_session_" + std::string(info->name()) + "_" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder_);
    path_ = (folder_ / "m.jsonl").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  SessionResult run(double budget = 1000.0) {
    ResultFile file(path_);
    file.write_provenance(device_.facts(), clock_.date());
    return run_session(device_, clock_, cases_, rule_, base::Seconds::of(budget), file, log_);
  }
  std::string text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::filesystem::path folder_;
  std::string path_;
  test::FakeClock clock_;
  test::FakeDevice device_{clock_};
  StopRule rule_;
  std::ostringstream log_;
  std::vector<Case> cases_ =
      parse_cases("launch op=sync\nlaunch op=event_host\ncopy direction=host_to_device bytes=4096\n", "t");
};

TEST_F(Sessions, EveryCaseBecomesALineWithItsShapeAndTimes) {
  const SessionResult result = run();
  EXPECT_EQ(result.measured, 3);
  EXPECT_THAT(text(), HasSubstr(R"("gpu_name": "a \"fake\" GPU")"));
  EXPECT_THAT(
      text(),
      HasSubstr(
          R"("case": "launch op=sync", "status": "measured", "kind": "launch", "shape": {"op": "sync"}, "seconds": 0.0001)"));
  EXPECT_THAT(log_.str(), HasSubstr("s left)"));
}

TEST_F(Sessions, AnInterruptedRunGoesOnAfterItsLastWholeLine) {
  run();
  // The third case was being written when the run was killed.
  const std::string whole = text();
  std::filesystem::resize_file(path_, whole.size() - 20);
  device_.prepared.clear();
  const SessionResult result = run();
  EXPECT_EQ(result.done_before, 2);
  EXPECT_EQ(result.measured, 1);
  EXPECT_THAT(device_.prepared, ElementsAre("copy direction=host_to_device bytes=4096"));
  EXPECT_EQ(run().done_before, 3);
  std::istringstream lines(text());
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(line.back(), '}') << line;
}

TEST_F(Sessions, AFileOfSomethingElseIsRefusedAndLeftAlone) {
  for (const char* content :
       {"my notes\n", "notes without a line end", "{\"schema\": \"moeplan.sample/1\"}\n"}) {
    std::ofstream(path_) << content;
    EXPECT_THROW(run(), base::EnvironmentError) << content;
    EXPECT_EQ(text(), content);
  }
}

TEST_F(Sessions, ACaseThatTheDeviceCannotDoIsNotedAndNotTriedAgain) {
  device_.on_prepare = [](const Case& what) {
    if (what.key() == "launch op=sync") throw Unsupported("no such thing");
  };
  const SessionResult result = run();
  EXPECT_EQ(result.unsupported, 1);
  EXPECT_EQ(result.measured, 2);
  EXPECT_THAT(
      text(),
      HasSubstr(
          R"("status": "unsupported", "kind": "launch", "shape": {"op": "sync"}, "reason": "no such thing")"));
  EXPECT_EQ(run().done_before, 3);
}

TEST_F(Sessions, ACaseWithWrongResultsFailsAndIsTriedAgain) {
  device_.fault = "poison";
  EXPECT_EQ(run().failed, 3);
  device_.fault.clear();
  EXPECT_EQ(run().measured, 3);
}

TEST_F(Sessions, ALostDeviceEndsTheRunAndKeepsWhatWasMeasured) {
  device_.on_prepare = [](const Case& what) {
    if (what.kind() == "copy") throw DeviceLost("cudaErrorIllegalAddress");
  };
  EXPECT_THROW(run(), DeviceLost);
  device_.on_prepare = nullptr;
  EXPECT_EQ(run().done_before, 2);
}

TEST_F(Sessions, TheBudgetIsKept) {
  // A case lasts 1 s of preparation and 10 ms of runs.
  device_.on_prepare = [&](const Case&) { clock_.time += base::Seconds::of(1.0); };
  const double start = clock_.time.s();
  const SessionResult result = run(2.5);
  EXPECT_EQ(result.measured, 2);
  EXPECT_EQ(result.left, 1);
  EXPECT_LE(clock_.time.s() - start, 2.5);
}

TEST_F(Sessions, ASustainedCaseIsNotStartedWhereItsLengthIsNotLeft) {
  cases_ = parse_cases("sustained format=bf16 m=1 n=1 k=1 seconds=30\nlaunch op=sync\n", "t");
  const SessionResult result = run(20.0);
  EXPECT_EQ(result.left, 1);
  EXPECT_EQ(result.measured, 1);
  EXPECT_EQ(run(40.0).measured, 1);
  EXPECT_THAT(text(), HasSubstr("\"factor\": 1, "));
}

TEST_F(Sessions, AClockThatJumpsBackIsCountedAndStopsNothing) {
  device_.on_prepare = [&](const Case&) { clock_.time = clock_.time - base::Seconds::of(500.0); };
  const SessionResult result = run();
  EXPECT_EQ(result.measured, 3);
  EXPECT_EQ(result.clock_jumps, 3);
}

TEST_F(Sessions, AFullDiskEndsTheRunAndKeepsTheLinesBefore) {
  run();
  const auto size = static_cast<rlim_t>(std::filesystem::file_size(path_));
  cases_ = parse_cases("launch op=graph_host\n", "t");
  // A limit on the size of files stands in for a full disk: write() fails with "File too large".
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{size + 200, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &tight);
  std::string message;
  try {
    run();
  } catch (const base::EnvironmentError& error) {
    message = error.what();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_THAT(message, HasSubstr("cannot be written: File too large; the lines before stand"));
  EXPECT_EQ(run().measured, 1);  // goes on where it stood
}

TEST_F(Sessions, AFileThatCannotBeOpenedIsSaid) {
  path_ = (folder_ / "missing" / "m.jsonl").string();
  EXPECT_THROW(run(), base::EnvironmentError);
}

}  // namespace
}  // namespace moeplan::calibrate
