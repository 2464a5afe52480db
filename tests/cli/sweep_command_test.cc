#include "cli/sweep_command.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/csv.h"
#include "base/document.h"
#include "base/files.h"
#include "base/quantity_text.h"
#include "base/random.h"
#include "cli/simulate_command.h"
#include "planner/sweep/sweep.h"
#include "tests/planner/sweep/small_sweep.h"
#include "tests/support/corpus.h"
#include "tests/support/schema_checker.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

Outcome run(const std::vector<std::string>& arguments) {
  std::vector<const char*> argv{"moeplan", "sweep"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out, err;
  const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
  return {code, out.str(), err.str()};
}

struct SweepFile {
  explicit SweepFile(const std::string& axes = sweep::kSmallAxes)
      : file(small.write("sweep.yaml", sweep::kSmallHead + axes)), out(small.path("out")) {}
  Outcome run(std::vector<std::string> arguments = {}) const {
    arguments.insert(arguments.begin(), {file, "-o", out});
    return cli::run(arguments);
  }
  std::string table(const std::string& name) const { return base::read_text_file(out + "/" + name); }

  sweep::SmallSweep small;
  std::string file;
  std::string out;
};

/// 1,000 points: 10 bandwidths x 10 loads x 5 micro-batches x 2 batches.
std::string thousand_axes() {
  std::string axes = "axes:\n  - cluster.node.nvlink.bandwidth: [";
  for (int i = 1; i <= 10; ++i) axes += (i > 1 ? ", " : "") + std::to_string(50 * i) + " GB/s";
  axes += "]\n  - load: [";
  for (int i = 1; i <= 10; ++i) axes += (i > 1 ? ", " : "") + ("\"zipf:0." + std::to_string(i)) + "\"";
  return axes + "]\n  - plan.micro_batch: [1, 2, 4, 8, 16]\n  - run.global_batch: [64, 128]\n";
}

/// `moeplan sweep` in another process.
pid_t start(const std::vector<std::string>& arguments) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run(arguments).code);
  return child;
}

/// Until the file is written to from now on, or the process has ended.
void wait_for_writing(const std::string& file, pid_t child) {
  const auto begin = fs::file_time_type::clock::now();
  for (;;) {
    std::error_code none;
    if (fs::exists(file, none) && fs::last_write_time(file, none) >= begin) return;
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        ended.si_pid == child)
      return;
    ::usleep(1000);
  }
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

/// How long a run takes that has to end well; its stdout goes nowhere.
double seconds_of(const std::vector<std::string>& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(status_of(start(arguments)), 0);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

std::size_t points_in(const std::string& out) {
  std::size_t points = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(out + "/shards")) {
    if (entry.path().extension() == ".sqlite")
      points += sweep::Shard::open(entry.path().string(), std::chrono::milliseconds(0))->points().size();
  }
  return points;
}

TEST(SweepCommandTest, each_row_is_what_simulate_says_of_files_that_were_changed_by_hand) {
  const SweepFile sweep;
  ASSERT_EQ(sweep.run().code, kOk);
  const base::CsvTable table = base::load_csv(sweep.out + "/points.csv");
  ASSERT_EQ(table.rows(), 12U);
  const std::string cluster =
      base::read_text_file((test::source_root() / "configs/clusters/hgx-h100-1n.yaml").string());
  for (std::size_t row = 0; row < table.rows(); ++row) {
    const auto cell = [&](const char* column) { return table.cell(row, table.require_column(column)); };
    std::string changed = cluster;
    const std::size_t at = changed.find("bandwidth: 450 GB/s");
    ASSERT_NE(at, std::string::npos);
    changed.replace(at, 19, "bandwidth: " + cell("cluster.node.nvlink.bandwidth"));
    std::string plan = sweep::kSmallPlan;
    plan.replace(plan.find("micro_batch: 1"), 14, "micro_batch: " + cell("plan.micro_batch"));
    SimulateVerbOptions options;
    options.job = {sweep.small.write("cluster.yaml", changed),
                   "tiny-moe",
                   sweep.small.path("run.yaml"),
                   cell("load"),
                   "",
                   {},
                   false};
    options.plan = sweep.small.write("changed.yaml", plan);
    options.common.json = true;
    std::ostringstream out, err;
    if (cell("plan.micro_batch") == "16") {  // 4 replicas have 8 of the 32 sequences each
      EXPECT_EQ(cell("status"), "infeasible");
      EXPECT_EQ(cell("step_time_s"), "");
      EXPECT_THAT(cell("reason"), HasSubstr("batch: "));
      EXPECT_THROW(run_simulate(options, {out, err}), base::InputError);
      continue;
    }
    run_simulate(options, {out, err});
    const base::Node result = base::parse_json(out.str(), "result.json").root;
    EXPECT_EQ(cell("status"), "ok");
    EXPECT_EQ(cell("step_time_s"), result.find("step_time_s")->text);
    EXPECT_EQ(cell("mfu"), result.find("mfu")->text);
    EXPECT_EQ(cell("memory_reserved_bytes"), result.find("memory")->find("reserved_bytes")->text);
    EXPECT_EQ(cell("exposed_comm_s"), result.find("breakdown")->find("exposed_comm_s")->text);
    EXPECT_EQ(cell("load_max_over_mean"), result.find("load_max_over_mean")->text);
  }
}

TEST(SweepCommandTest, a_thousand_points_killed_ten_times_at_random_moments_come_out_the_same) {
  const SweepFile sweep(thousand_axes());
  const double whole =
      seconds_of({sweep.file, "-q", "--threads", "1", "-o", sweep.small.path("undisturbed")});
  base::RandomStream moments(test::test_seed(), "kills");
  std::size_t known = 0;
  int killed = 0;
  for (int i = 0; i < 10; ++i) {
    const pid_t child = start({sweep.file, "-q", "--resume", "--threads", "1", "-o", sweep.out});
    // However busy the machine is: once the inputs are read and results are written, and a part of the whole
    // later.
    wait_for_writing(sweep.out + "/shards/part-0001-of-0001.sqlite-wal", child);
    ::usleep(static_cast<useconds_t>(moments.uniform() * whole / 8 * 1e6));
    ::kill(child, SIGKILL);
    if (WIFSIGNALED(status_of(child))) ++killed;
    // To look is to open, which puts the write-ahead log in order: not each time.
    if (i % 2 == 0 || !fs::exists(sweep.out + "/shards")) continue;
    const std::size_t points = points_in(sweep.out);
    EXPECT_GE(points, known);  // what was finished once stays
    known = points;
  }
  EXPECT_GE(killed, 5);
  EXPECT_GT(known, 0U);
  const std::string stats = sweep.small.path("stats.json");
  ASSERT_EQ(sweep.run({"--resume", "-q", "--threads", "2", "--stats", stats}).code, kOk);
  // Nothing that was finished was computed again.
  EXPECT_EQ(base::load_document(stats).root.find("found")->text, std::to_string(known));
  EXPECT_EQ(base::load_document(stats).root.find("computed")->text, std::to_string(1000 - known));
  for (const char* name : {"points.csv", "points.json"})
    EXPECT_EQ(sweep.table(name), base::read_text_file(sweep.small.path("undisturbed/") + name));
}

TEST(SweepCommandTest, an_interrupt_ends_it_quietly_with_the_tables_of_what_is_finished) {
  const SweepFile sweep(thousand_axes());
  const pid_t child = start({sweep.file, "-q", "--threads", "1", "-o", sweep.out});
  const std::string wal = sweep.out + "/shards/part-0001-of-0001.sqlite-wal";
  std::error_code code;
  while (!(fs::exists(wal, code) && fs::file_size(wal, code) > 100'000)) ::usleep(1000);
  ::kill(child, SIGTERM);
  const int status = status_of(child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kInterrupted);
  const base::Node json = base::load_document(sweep.out + "/points.json").root;
  EXPECT_EQ(json.find("complete")->text, "false");
  EXPECT_EQ(std::to_string(points_in(sweep.out)), std::to_string(json.find("points")->items.size()));
  EXPECT_LT(json.find("points")->items.size(), 1000U);
  EXPECT_EQ(sweep.run({"--resume"}).code, kOk);
  EXPECT_EQ(base::load_document(sweep.out + "/points.json").root.find("complete")->text, "true");
}

TEST(SweepCommandTest, the_json_keeps_its_schema_and_the_last_part_writes_the_tables) {
  const SweepFile sweep;
  const Outcome first = sweep.run({"--part", "1/2", "--json"});
  EXPECT_EQ(first.code, kOk);
  EXPECT_EQ(first.out, "");
  EXPECT_THAT(first.err, HasSubstr("6 of 12 points are finished"));
  EXPECT_FALSE(fs::exists(sweep.out + "/points.csv"));
  const Outcome last = sweep.run({"--part", "2/2", "--json"});
  EXPECT_EQ(last.code, kOk);
  EXPECT_EQ(last.out, sweep.table("points.json"));
  const base::Node schema =
      base::load_document((test::source_root() / "docs/schema/sweep.json").string()).root;
  const base::Node json = base::parse_json(last.out, "sweep.json").root;
  EXPECT_EQ(test::find_schema_fault(schema, json), "");
  EXPECT_EQ(json.find("points")->items.size(), 12U);
  EXPECT_EQ(json.find("counts")->find("infeasible")->text, "4");
}

TEST(SweepCommandTest, export_writes_the_tables_of_what_is_there) {
  const SweepFile sweep;
  EXPECT_THAT(sweep.run({"--export"}).err, HasSubstr("holds no results of a sweep"));
  sweep.run({"--part", "2/3", "-q"});
  const Outcome outcome = sweep.run({"--export"});
  EXPECT_EQ(outcome.code, kOk);
  EXPECT_THAT(outcome.out, HasSubstr("small: 4 of 12 points"));
  EXPECT_EQ(base::load_csv(sweep.out + "/points.csv").rows(), 4U);
}

TEST(SweepCommandTest, rows_of_other_inputs_are_counted_and_left_out) {
  const SweepFile sweep;
  sweep.run({"-q"});
  sweep.small.write("run.yaml", "name: other\nglobal_batch: 64\nseq_len: 1024\n");
  const Outcome outcome = sweep.run({"--export"});
  EXPECT_EQ(outcome.code, kInfeasible);
  EXPECT_THAT(outcome.out, HasSubstr("0 of 12 points"));
  EXPECT_THAT(outcome.err, HasSubstr("12 points in " + sweep.out + " are of other inputs"));
}

TEST(SweepCommandTest, the_shipped_example_is_sound) {
  const Outcome outcome =
      run({(test::source_root() / "configs/examples/sweep-nic-routing.yaml").string(), "--list"});
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 45);  // 48 less 4, and the header
}

TEST(SweepCommandTest, list_prints_the_points_and_makes_nothing) {
  const SweepFile sweep("axes:\n  - load: [uniform, \"zipf:1.0\"]\n  - options.seed: [1, 2]\n");
  EXPECT_EQ(sweep.run({"--list"}).out,
            "point,load,options.seed\n1,uniform,1\n2,uniform,2\n3,zipf:1.0,1\n4,zipf:1.0,2\n");
  EXPECT_FALSE(fs::exists(sweep.out));
}

TEST(SweepCommandTest, bad_input_leaves_nothing_behind) {
  const SweepFile sweep("axes:\n  - run.global_batc: [32]\n");
  const Outcome outcome = sweep.run();
  EXPECT_EQ(outcome.code, kBadInput);
  EXPECT_THAT(outcome.err, HasSubstr("did you mean \"global_batch\"?"));
  EXPECT_FALSE(fs::exists(sweep.out));
}

TEST(SweepCommandTest, a_broken_shard_is_named) {
  const SweepFile sweep;
  sweep.run({"-q"});
  const std::string shard = sweep.out + "/shards/part-0001-of-0001.sqlite";
  base::write_file_atomically(shard, std::string(4096, 'x'));
  const Outcome outcome = sweep.run({"--resume"});
  EXPECT_EQ(outcome.code, kBadInput);
  EXPECT_THAT(outcome.err, HasSubstr(shard + ": error: is no sound shard"));
}

TEST(SweepCommandTest, a_sweep_where_nothing_fits_ends_in_one_with_the_reason_in_each_row) {
  const SweepFile sweep("axes:\n  - plan.micro_batch: [16, 32]\n");
  const Outcome outcome = sweep.run();
  EXPECT_EQ(outcome.code, kInfeasible);
  EXPECT_THAT(outcome.out, HasSubstr("2 of 2 points: 0 ok, 2 infeasible"));
  const SweepFile memory("axes:\n  - cluster.node.memory: [1 GiB]\n");
  EXPECT_EQ(memory.run().code, kInfeasible);
  EXPECT_THAT(memory.table("points.csv"), HasSubstr("more than the 1.00 GiB of a GPU"));
}

TEST(SweepCommandTest, a_model_that_cannot_be_simulated_is_a_refused_row_beside_the_others) {
  const SweepFile sweep(
      "axes:\n  - model.layer_types: [[full_attention, full_attention, full_attention, full_attention], "
      "[full_attention, linear_attention, full_attention, full_attention]]\n");
  std::string config = base::read_text_file((test::source_root() / "configs/models/tiny-moe.json").string());
  config.insert(config.rfind('}'),
                ", \"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\", "
                "\"full_attention\"]\n");
  sweep.small.write("model.json", config);
  std::string text = base::read_text_file(sweep.file);
  text.replace(text.find("tiny-moe"), 8, "model.json");
  sweep.small.write("sweep.yaml", text);
  const Outcome outcome = sweep.run();
  EXPECT_EQ(outcome.code, kOk) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("2 of 2 points: 1 ok, 0 infeasible, 1 refused"));
  EXPECT_THAT(sweep.table("points.csv"), HasSubstr("linear_attention"));
}

TEST(SweepCommandTest, searches_leave_the_plans_that_they_found) {
  const sweep::SmallSweep small;
  const std::string file =
      small.write("search.yaml",
                  "name: search\nverb: plan\nbase: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml}\n"
                  "options: {budget: 4}\naxes:\n  - run.global_batch: [32, 64]\n");
  ASSERT_EQ(run({file, "-q", "-o", small.path("out")}).code, kOk);
  const base::CsvTable table = base::load_csv(small.path("out/points.csv"));
  SimulateVerbOptions options;
  options.job = {"hgx-h100-1n", "tiny-moe", small.path("run.yaml"), "uniform", "", {}, false};
  options.plan = small.path("out/plans/point-1.yaml");
  options.common.json = true;
  std::ostringstream out, err;
  run_simulate(options, {out, err});
  EXPECT_EQ(table.cell(0, table.require_column("step_time_s")),
            base::parse_json(out.str(), "result.json").root.find("step_time_s")->text);
  EXPECT_TRUE(fs::exists(small.path("out/plans/point-2.yaml")));
}

}  // namespace
}  // namespace moeplan::cli
