#include "calibrate/measure/rank_device.h"

#include <deque>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "calibrate/measure/session.h"
#include "tests/calibrate/measure/fake_device.h"

namespace moeplan::calibrate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Rank 0 of `hosts.size()` ranks; the others answer at once what `answer` says.
class FakeCommunicator : public Communicator {
 public:
  FakeCommunicator(std::vector<std::string> hosts, test::FakeClock& clock) : hosts_(std::move(hosts)), clock_(clock) {}
  int rank() const override { return 0; }
  int ranks() const override { return static_cast<int>(hosts_.size()); }
  std::string share(const std::string& text) override {
    shared.push_back(text);
    if (lost_at > 0 && static_cast<int>(shared.size()) >= lost_at) throw DeviceLost("rank 0 heard nothing of rank 2");
    return text;
  }
  std::vector<std::string> collect(const std::string& text) override {
    if (shared.back() == "hosts") return hosts_;
    std::vector<std::string> all(hosts_.size(), text);
    if (answer) all.back() = answer(shared.back(), text);
    return all;
  }
  std::unique_ptr<RankWorkload> prepare(const Operation&) override { return std::make_unique<Fake>(*this); }
  std::string software() const override { return "fake MPI"; }
  std::string host() const override { return hosts_.front(); }
  base::Bytes host_memory() const override { return base::Bytes::of(1 << 30); }

  std::vector<std::string> shared;
  std::function<std::string(const std::string& line, const std::string& own)> answer;
  int lost_at = 0;
  double seconds = 0.01;

 private:
  struct Fake : RankWorkload {
    explicit Fake(FakeCommunicator& all) : all_(all) {}
    base::Seconds run(int repetitions) override {
      const base::Seconds time = base::Seconds::of(all_.seconds * repetitions);
      all_.clock_.time += time;
      return time;
    }
    std::string check() override { return ""; }
    FakeCommunicator& all_;
  };
  std::vector<std::string> hosts_;
  test::FakeClock& clock_;
};

const std::vector<std::string> kHosts{"a", "a", "b", "b"};

TEST(Operation, TextReadsBack) {
  Operation o;
  o.kind = Operation::Kind::kAllToAllV;
  o.transfers = {{0, 1, 10}, {1, 0, 20}};
  EXPECT_EQ(Operation::parse(o.text(), 2), o);
}

TEST(Operation, WhatIsNoOperationIsRefused) {
  EXPECT_THROW(Operation::parse("dance 0 0", 2), BadOperation);
  EXPECT_THROW(Operation::parse("transfers 0 2 0 1 5", 2), BadOperation);
  EXPECT_THROW(Operation::parse("transfers 0 1 0 2 5", 2), BadOperation);
  EXPECT_THROW(Operation::parse("transfers 0 1 1 1 5", 2), BadOperation);
}

TEST(Patience, JumpsOfTheClockCountForLittle) {
  test::FakeClock clock;
  Patience patience(clock, base::Seconds::of(1.0));
  clock.time += base::Seconds::of(3600.0);  // forward: 0.5 s at most
  EXPECT_FALSE(patience.is_over());
  clock.time = base::Seconds::of(0.0);  // back: nothing
  EXPECT_FALSE(patience.is_over());
  for (int i = 0; i < 6; ++i) clock.time += base::Seconds::of(0.1), patience.is_over();
  EXPECT_TRUE(patience.is_over());
}

TEST(RankLayout, NodesHoldBlocksOfEqualSize) {
  EXPECT_EQ(RankLayout::of(kHosts).nodes, 2);
  EXPECT_EQ(RankLayout::of(kHosts).per_node, 2);
  EXPECT_THROW(RankLayout::of({"a", "b", "a"}), BadOperation);
  EXPECT_THROW(RankLayout::of({"a", "a", "b"}), BadOperation);
}

TEST(OperationOf, AShiftIsOneTransferFromEveryRank) {
  const Operation o = operation_of(Case::parse("grouped first=3 peers=1 bytes=7"), RankLayout::of(kHosts));
  EXPECT_THAT(o.transfers, ElementsAre(Operation::Transfer{0, 3, 7}, Operation::Transfer{1, 0, 7},
                                       Operation::Transfer{2, 1, 7}, Operation::Transfer{3, 2, 7}));
}

TEST(OperationOf, SkewSendsTheSameInAllAndFallsWithThePlace) {
  // Places from rank 0: weights 1, 1/2, 1/3, 1/4. Rank 3 sends 300 in proportion 1 : 1/2 : 1/3 = 163.6 : 81.8 : 54.5.
  const Operation o = operation_of(Case::parse("alltoallv skew=zipf_1.0 hot=0 bytes=100"), RankLayout::of(kHosts));
  EXPECT_EQ(o.transfers[9], (Operation::Transfer{3, 0, 164}));
  EXPECT_EQ(o.transfers[10], (Operation::Transfer{3, 1, 82}));
  EXPECT_EQ(o.transfers[11], (Operation::Transfer{3, 2, 55}));
}

TEST(RankDevice, TheSlowestRankSetsTheTime) {
  test::FakeClock clock;
  FakeCommunicator all(kHosts, clock);
  all.answer = [](const std::string& line, const std::string& own) {
    return line.starts_with("run") ? std::string("ok 0.5") : own;
  };
  RankDevice device(all, base::Seconds::of(10.0));
  const auto workload = device.prepare(Case::parse("pair src=0 dst=1 bytes=1000"));
  EXPECT_DOUBLE_EQ(workload->run(1).s(), 0.5);
}

TEST(RankDevice, WrongBytesOnOneRankFailTheCaseAndNameIt) {
  test::FakeClock clock;
  FakeCommunicator all(kHosts, clock);
  all.answer = [](const std::string& line, const std::string& own) {
    return line == "check" ? std::string("byte 3 is not what was sent") : own;
  };
  RankDevice device(all, base::Seconds::of(10.0));
  const auto workload = device.prepare(Case::parse("pair src=0 dst=1 bytes=1000"));
  EXPECT_EQ(workload->fault(), "rank 3: byte 3 is not what was sent");
}

TEST(RankDevice, WhatWouldTakeTooLongIsLeft) {
  test::FakeClock clock;
  FakeCommunicator all(kHosts, clock);
  RankDevice device(all, base::Seconds::of(0.05));
  device.prepare(Case::parse("pair src=0 dst=1 bytes=1000"))->run(1);
  // 10 ms for 1000 bytes: 6000 would take 60 ms, 4000 only 40.
  EXPECT_THROW(device.prepare(Case::parse("pair src=0 dst=1 bytes=6000")), NoTime);
  EXPECT_NO_THROW(device.prepare(Case::parse("pair src=0 dst=1 bytes=4000")));
}

TEST(RankDevice, TheOthersAreStoppedWithTheReason) {
  test::FakeClock clock;
  FakeCommunicator all(kHosts, clock);
  {
    RankDevice device(all, base::Seconds::of(1.0));
    device.stop("the disk is full");
  }
  EXPECT_THAT(all.shared, ElementsAre("hosts", "stop the disk is full"));
}

TEST(RankDevice, ALostRankEndsTheRunAndKeepsWhatWasMeasuredAndTheNextRunGoesOn) {
  const std::string path = (std::filesystem::temp_directory_path() / "rank_device_test.jsonl").string();
  std::filesystem::remove(path);
  const std::vector<Case> cases{Case::parse("pair src=0 dst=1 bytes=1000"), Case::parse("pair src=0 dst=2 bytes=1000")};
  test::FakeClock clock;
  std::ostringstream log;
  {
    FakeCommunicator all(kHosts, clock);
    ResultFile file(path);
    RankDevice device(all, base::Seconds::of(1.0));
    device.prepare(cases[0]);
    all.lost_at = 20;  // within the second case
    EXPECT_THROW(run_session(device, clock, cases, {}, base::Seconds::of(600), file, log), DeviceLost);
    EXPECT_EQ(file.finished(), 1U);
    device.abandon();
  }
  FakeCommunicator all(kHosts, clock);
  ResultFile file(path);
  RankDevice device(all, base::Seconds::of(1.0));
  const SessionResult again = run_session(device, clock, cases, {}, base::Seconds::of(600), file, log);
  EXPECT_EQ(again.done_before, 1);
  EXPECT_EQ(again.measured, 1);
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace moeplan::calibrate
