#include "planner/export/launch_files.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "planner/export/export_target.h"
#include "tests/planner/export/jobs.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::planner {
namespace {

using ::testing::HasSubstr;

struct Shell {
  int code = 0;
  std::string out;  ///< stdout and stderr
};

/// Runs exported scripts in a folder where `hostname`, `mpirun`, `srun` and `torchrun` are ours: they print
/// their arguments.
class LaunchScripts : public ::testing::Test {
 protected:
  LaunchScripts() {
    for (const char* program : {"mpirun", "srun", "torchrun"})
      tool(program, std::string("echo ") + program + " \"$@\"; echo hosts ${SLURM_HOSTFILE:-}");
    sim::PlanSpec plan = test::plan_of(4, 1, 2, 2);
    const Exported exported =
        export_plan(*find_export_target("launch"),
                    {plan, nullptr, nullptr, 2, nullptr, nullptr, nullptr, {"gpu7", "gpu3.lab", "gpu5"}});
    for (const ExportFile& file : exported.files)
      base::write_file_atomically((folder_.path() / "out" / file.name).string(), file.content);
  }
  void tool(const std::string& name, const std::string& body) const {
    const auto path = folder_.path() / "bin" / name;
    base::write_file_atomically(path.string(), "#!/bin/sh\n" + body + "\n");
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }
  /// Runs a script of the export on host `host`, with variables set and arguments behind.
  Shell run(const std::string& host, const std::string& variables, const std::string& command) const {
    tool("hostname", "case ${1:-} in -s) echo " + host.substr(0, host.find('.')) +
                         " ;; -I) echo 10.0.0.9 ;; *) echo " + host + " ;; esac");
    const std::string line =
        "PATH=" + (folder_.path() / "bin").string() +
        ":$PATH env -u OMPI_COMM_WORLD_RANK -u PMIX_RANK -u SLURM_PROCID -u MASTER_ADDR -u MASTER_PORT " +
        variables + " bash " + (folder_.path() / "out").string() + "/" + command + " 2>&1";
    Shell shell;
    FILE* pipe = popen(line.c_str(), "r");
    if (pipe == nullptr) return {-1, "popen failed"};
    std::array<char, 256> buffer{};
    while (fgets(buffer.data(), static_cast<int>(buffer.size()), pipe) != nullptr) shell.out += buffer.data();
    shell.code = pclose(pipe) >> 8;
    return shell;
  }
  test::TemporaryFolder folder_;
};

TEST_F(LaunchScripts, TorchrunGetsTheHostsPlaceInTheListAsItsNodeRank) {
  const Shell first = run("gpu7", "", "torchrun.sh train.py --x 'a b'");
  EXPECT_EQ(first.code, 0);
  EXPECT_THAT(first.out, HasSubstr("torchrun --nnodes 2 --nproc-per-node 2 --node-rank 0 --master-addr gpu7 "
                                   "--master-port 29500 train.py --x a b"));
  EXPECT_THAT(run("gpu3", "", "torchrun.sh t").out, HasSubstr("--node-rank 1"));
  EXPECT_THAT(run("gpu3.lab", "MASTER_PORT=1", "torchrun.sh t").out,
              HasSubstr("--node-rank 1 --master-addr gpu7 --master-port 1 t"));
  const Shell stranger = run("gpu9", "", "torchrun.sh t");
  EXPECT_EQ(stranger.code, 3);
  EXPECT_EQ(stranger.out, "error: gpu9 is not in the list of hosts\n");
  EXPECT_EQ(run("gpu7", "", "torchrun.sh").code, 2);
}

TEST_F(LaunchScripts, MpirunAndSrunGetTheListsInOrder) {
  const Shell mpi = run("gpu7", "MPIRUN_OPTIONS=-v", "mpirun.sh python t.py");
  EXPECT_THAT(mpi.out, HasSubstr("mpirun -np 4 --hostfile " + (folder_.path() / "out/hostfile").string() +
                                 " --map-by slot --bind-to none -v bash"));
  EXPECT_THAT(mpi.out, HasSubstr("rank.sh python t.py"));
  const Shell slurm = run("gpu7", "", "srun.sh python t.py");
  EXPECT_THAT(slurm.out, HasSubstr("srun --ntasks=4 --distribution=arbitrary bash"));
  EXPECT_THAT(slurm.out, HasSubstr("hosts " + (folder_.path() / "out/slurm-hosts").string()));
}

TEST_F(LaunchScripts, ARankBecomesTheCommandOnItsPlannedPlaceAlone) {
  const std::string print = "rank.sh sh -c 'echo $RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR $MASTER_PORT'";
  const auto open_mpi = [](int rank, int local, int size) {
    return "OMPI_COMM_WORLD_RANK=" + std::to_string(rank) +
           " OMPI_COMM_WORLD_LOCAL_RANK=" + std::to_string(local) +
           " OMPI_COMM_WORLD_SIZE=" + std::to_string(size);
  };
  EXPECT_EQ(run("gpu3.lab", open_mpi(3, 1, 4), print).out, "3 1 4 gpu7 29500\n");
  EXPECT_EQ(run("gpu7", "SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NTASKS=4", print).out, "0 0 4 gpu7 29500\n");
  const Shell elsewhere = run("gpu7", open_mpi(3, 1, 4), print);
  EXPECT_EQ(elsewhere.code, 3);
  EXPECT_EQ(elsewhere.out, "error: rank 3 is on gpu7, planned is gpu3.lab\n");
  EXPECT_EQ(run("gpu3", open_mpi(3, 0, 4), print).out,
            "error: rank 3 is number 0 on gpu3.lab, planned is 1\n");
  EXPECT_EQ(run("gpu3", open_mpi(3, 1, 8), print).out, "error: 8 ranks, planned are 4\n");
  EXPECT_EQ(run("gpu3", "", print).out, "error: neither Open MPI nor Slurm says which rank this is\n");
}

TEST(LaunchFiles, ListsAreInRankOrder) {
  sim::PlanSpec plan = test::plan_of(4, 2, 2, 1);
  const RankOrder order = make_rank_order(plan, {"b", "a"}, 2);
  EXPECT_EQ(write_hostfile(order), "b slots=2\na slots=2\n");
  EXPECT_EQ(write_slurm_hosts(order), "b\nb\na\na\n");
  EXPECT_EQ(write_rank_table(order, plan.layout),
            "rank,host,local_rank,tp,cp,dp,pp,etp,ep,edp\n"
            "0,b,0,0,0,0,0,0,0,0\n"
            "1,b,1,1,0,0,0,0,0,1\n"
            "2,a,0,0,0,0,1,0,0,0\n"
            "3,a,1,1,0,0,1,0,0,1\n");
}

TEST(LaunchFiles, TheRankTableGivesTheLayoutBack) {
  sim::ParallelLayout layout;
  for (const auto& [tp, cp, dp, pp, ep, etp] : {std::array{2, 2, 4, 2, 4, 2}, std::array{1, 1, 8, 1, 8, 1},
                                                std::array{4, 1, 2, 3, 2, 1}, std::array{1, 1, 1, 1, 1, 1}}) {
    layout.tp = tp, layout.cp = cp, layout.dp = dp, layout.pp = pp, layout.ep = ep, layout.etp = etp;
    layout.edp = tp * cp * dp / (ep * etp);
    sim::PlanSpec plan;
    plan.layout = layout;
    const RankOrder order = make_rank_order(plan, std::vector<std::string>(32, "h"), 8);
    EXPECT_EQ(read_rank_table(write_rank_table(order, layout), "ranks.csv"), layout);
  }
}

TEST(LaunchFiles, ARankTableThatIsNoGridIsRefused) {
  const std::string head = "rank,tp,cp,dp,pp,etp,ep,edp\n";
  const auto refusal = [&head](const std::string& rows) {
    return test::input_error_of([&] { read_rank_table(head + rows, "ranks.csv"); });
  };
  EXPECT_THAT(refusal("0,0,0,0,0,0,0,0\n1,0,0,1,0,0,0,0\n"),
              HasSubstr("2 ranks are no grid of tp 1 x cp 1 x dp 2"));
  EXPECT_THAT(refusal("0,0,0,1,0,0,0,1\n1,0,0,0,0,0,0,0\n"),
              HasSubstr("ranks.csv:2:1: error: rank 0 stands at 0,0,1"));
  EXPECT_THAT(refusal("1,0,0,0,0,0,0,0\n"), HasSubstr("found rank \"1\", expected 0"));
  EXPECT_THAT(refusal("0,0,0,-1,0,0,0,0\n"), HasSubstr("expected an index on dp"));
  EXPECT_THAT(refusal(""), HasSubstr("0 ranks are no grid"));
}

TEST(LaunchFiles, HostsAreReadAsOpenMpiAndSlurmWriteThem) {
  EXPECT_EQ(read_hosts("# ours\n gpu1 slots=8 # first\n\n10.0.0.2\r\n", "hosts", 8),
            (std::vector<std::string>{"gpu1", "10.0.0.2"}));
  const auto refusal = [](const std::string& text) {
    return test::input_error_of([&] { read_hosts(text, "hosts", 8); });
  };
  EXPECT_EQ(refusal("a\nb\n  a\n"),
            "hosts:3:3: error: host a stands twice\n    hint: one line a host; --gpus-per-node says how many "
            "ranks it takes");
  EXPECT_THAT(refusal("a;rm\n"),
              HasSubstr("hosts:1:1: error: found \"a;rm\", expected the name or address of a host"));
  EXPECT_THAT(refusal("-x\n"), HasSubstr("found \"-x\""));
  EXPECT_THAT(refusal("a slots=4\n"), HasSubstr("found \"slots=4\", expected slots=8 or more"));
  EXPECT_THAT(refusal("# none\n"), HasSubstr("no hosts, expected one a line"));
}

TEST(LaunchFiles, RanksFillTheirHosts) {
  const sim::PlanSpec plan = test::plan_of(12, 1, 1, 1);
  EXPECT_THAT(test::input_error_of([&] {
                make_rank_order(plan, {"a", "b"}, 8);
              }),
              HasSubstr("12 ranks do not fill hosts of 8 GPUs"));
  EXPECT_THAT(test::input_error_of([&] {
                make_rank_order(plan, {"a", "b"}, 4);
              }),
              HasSubstr("found 2 hosts, but 12 ranks at 4 a host need 3"));
  EXPECT_EQ(make_rank_order(test::plan_of(4, 1, 1, 1), {"a", "b"}, 8).hosts, std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace moeplan::planner
