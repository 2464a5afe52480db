// What the program says and does about bad input, through the same entry as main(): exit code 2, the pinned message, and
// nothing written. And about what cannot be: a model that does not fit is exit code 1, with how much it lacks.
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/config_files.h"
#include "base/files.h"
#include "base/random.h"
#include "cli/command.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"

namespace moeplan::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

class BadInputTest : public ::testing::Test {
 protected:
  /// Runs `moeplan ARGUMENTS`.
  static Outcome run(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"moeplan"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_program(static_cast<int>(argv.size()), argv.data(), Console{out, err});
    return {code, out.str(), err.str()};
  }

  std::string write(const std::string& name, const std::string& content) const {
    base::write_file_atomically((folder_.path() / name).string(), content);
    return (folder_.path() / name).string();
  }

  /// A shipped file with one text replaced, in our folder.
  std::string spoiled(const std::string& kind, const std::string& name, const std::string& what, const std::string& by) const {
    std::string text = base::read_text_file(base::resolve_config(kind, name));
    const std::size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    text.replace(at, what.size(), by);
    return write("spoiled.yaml", text);
  }

  /// Asserts exit 2 with this message and no output, on stdout or below our folder's out/.
  void expect_refused(const std::vector<std::string>& arguments, const std::string& message) const {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_EQ(outcome.err, message + "\n");
    EXPECT_THAT(outcome.out, IsEmpty());
    EXPECT_FALSE(fs::exists(out_)) << "something was written";
  }

  std::vector<std::string> small_job(const std::string& verb, const std::vector<std::string>& more) const {
    std::vector<std::string> arguments{verb, "--cluster", "hgx-h100-1n", "--model", "tiny-moe", "--run", "pretrain-4k"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  test::TemporaryFolder folder_;
  std::string out_ = (folder_.path() / "out").string();
};

TEST_F(BadInputTest, a_missing_unit_is_told_with_position_and_hint) {
  const std::string file = spoiled("clusters", "hgx-h100-1n", "bandwidth: 450 GB/s", "bandwidth: 450");
  expect_refused({"show", "cluster", file}, file +
                                                ":13:16: error: \"450\" has no unit, expected a data rate\n"
                                                "    in cluster > node > nvlink > bandwidth\n"
                                                "    hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)");
  expect_refused({"plan", "--cluster", file, "--model", "tiny-moe", "--run", "pretrain-4k", "-o", out_},
                 file + ":13:16: error: \"450\" has no unit, expected a data rate\n"
                        "    in cluster > node > nvlink > bandwidth\n"
                        "    hint: write \"400 Gb/s\" (bits) or \"50 GB/s\" (bytes)");
}

TEST_F(BadInputTest, an_unknown_key_is_told_with_the_one_that_was_meant) {
  const std::string file = spoiled("runs", "pretrain-4k", "seq_len", "seq_length");
  expect_refused({"show", "run", file}, file + ":3:1: error: key \"seq_len\" is missing\n    in run\n" + file +
                                            ":5:1: error: unknown key \"seq_length\"\n    in run\n    hint: did you mean \"seq_len\"?");
}

TEST_F(BadInputTest, a_duplicate_key_is_told_with_both_lines) {
  const std::string file = spoiled("clusters", "hgx-h100-1n", "nodes: 1", "nodes: 1\nnodes: 2");
  expect_refused({"show", "cluster", file}, file + ":6:1: error: key \"nodes\" stands twice, first in line 5\n    hint: keep one of the two");
}

TEST_F(BadInputTest, an_ep_that_does_not_divide_the_experts_is_told_at_its_place) {
  // 16 experts on 6 ranks: 16 / 6 is not whole. 2048 sequences on 6 ranks are not either.
  const std::string file = write("plan.yaml",
                                 "name: uneven\nframework: megatron\n"
                                 "layout: {tp: 1, pp: 1, vp: 1, cp: 1, dp: 6, ep: 6, etp: 1, sequence_parallel: false}\nmicro_batch: 1\n");
  const Outcome outcome = run(small_job("simulate", {"--plan", file, "-o", out_}));
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr(file + ":3:49: error: ep 6 does not divide 16 experts\n"
                                            "    in plan > layout > ep\n"
                                            "    hint: ep may be 1, 2, 4, 8 or 16\n"));
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(BadInputTest, a_layer_kind_without_a_cost_is_told_and_may_be_assumed_to_be_attention) {
  std::string config = base::read_text_file(base::resolve_config("models", "tiny-moe"));
  config.insert(config.find('{') + 1, "\"layer_types\": [\"linear_attention\", \"full_attention\", \"linear_attention\", \"linear_attention\"],");
  const std::string model = write("hybrid.json", config);
  const std::string plan = write("plan.yaml", "name: p\nlayout: {tp: 1, dp: 8, ep: 8}\n");
  std::vector<std::string> job{"simulate", "--cluster", "hgx-h100-1n", "--model", model, "--run", "pretrain-4k", "--plan", plan};
  const auto with = [&](const std::string& assumption) {
    std::vector<std::string> all = job;
    all.insert(all.end(), {"--assume", assumption});
    return all;
  };
  const Outcome refused = run(job);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("layers of kind \"linear-attention\" have no cost model"));
  EXPECT_THAT(refused.err, HasSubstr("hint: --assume linear-attention=attention costs them as full attention and says so"));
  const Outcome assumed = run(with("linear-attention=attention"));
  EXPECT_EQ(assumed.code, 0) << assumed.err;
  EXPECT_THAT(assumed.out, HasSubstr("layers 0, 2-3 are of kind linear-attention and costed as full attention (--assume)"));
  EXPECT_EQ(run(with("mamba=attention")).err,
            "error: --assume \"mamba=attention\": the model has no layers of that kind that lack a cost\n"
            "    hint: hybrid has layers of kind linear-attention\n");
  EXPECT_EQ(run(with("linear-attention=mlp")).code, 2);
}

TEST_F(BadInputTest, a_number_of_matrices_that_is_none_is_told) {
  const std::string plan = write("plan.yaml", "name: p\nlayout: {tp: 1, dp: 8, ep: 8}\n");
  for (const std::string text : {"0", "-1", "2x", "some"}) {
    expect_refused(small_job("simulate", {"--plan", plan, "--matrices", text, "-o", out_}),
                   "error: --matrices \"" + text + "\": expected a number above 0, or \"all\"");
  }
}

TEST_F(BadInputTest, a_schedule_that_cannot_run_is_told_at_its_place) {
  const auto plan = [&](const std::string& layout, const std::string& schedule) {
    return write("plan.yaml", "name: p\nlayout: {tp: 1, " + layout + "}\nmicro_batch: 256\nschedule: " + schedule + "\n");
  };
  const auto refused = [&](const std::string& file, const std::string& message) {
    const Outcome outcome = run(small_job("simulate", {"--plan", file, "-o", out_}));
    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.err, HasSubstr(file + message));
    EXPECT_FALSE(fs::exists(out_));
  };
  // 2048 sequences / (DP 4 x 256) = 2 micro-batches.
  refused(plan("pp: 2, vp: 1, dp: 4", "dualpipe"),
          ":4:11: error: schedule dualpipe needs at least 2 * pp = 4 micro-batches to fill the pipeline, found 2\n    in plan > schedule");
  refused(plan("pp: 2, vp: 1, dp: 4", "zb_v"),
          ":2:28: error: schedule zb_v runs 2 chunks a rank, down the pipeline and up again: vp 2, found vp 1\n    in plan > layout > vp");
  refused(plan("pp: 1, vp: 2, dp: 8", "interleaved"),
          ":2:28: error: vp 2 with pp 1: virtual stages need a pipeline, pp of at least 2\n    in plan > layout > vp");
  refused(plan("pp: 2, vp: 1, dp: 4", "zb-v"),
          ":4:11: error: found \"zb-v\", expected one of gpipe, 1f1b, interleaved, zb_h1, zb_v, dualpipe, dualpipe_v\n"
          "    in plan > schedule\n    hint: did you mean \"zb_v\"?");
}

TEST_F(BadInputTest, a_schedule_that_megatron_lacks_is_not_exported) {
  const std::string file = write("plan.yaml", "name: p\nlayout: {tp: 1, pp: 2, vp: 2, dp: 4}\nmicro_batch: 1\nschedule: zb_v\n");
  const Outcome outcome = run({"export", file, "--to", "megatron", "--model", "tiny-moe", "--run", "pretrain-4k", "-o", out_});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("schedule zb_v: Megatron-Core runs 1F1B, and interleaved 1F1B with virtual stages, no GPipe, zero-bubble or DualPipe"));
}

TEST_F(BadInputTest, a_load_with_other_experts_is_told) {
  // tiny-moe has 16 experts in three MoE layers.
  const std::string file = write("load.csv", "layer,e0,e1,e2,e3\n0,5,6,7,8\n1,5,6,7,8\n2,1,1,1,1\n");
  expect_refused(small_job("plan", {"--load", file, "-o", out_}),
                 file + ": error: found 4 experts, but the model has 16\n    in load\n    hint: a load of another model cannot be used");
}

TEST_F(BadInputTest, an_empty_file_of_any_kind_is_told) {
  for (const char* kind : {"cluster", "run", "plan", "profile"}) {
    const std::string file = write("empty.yaml", "");
    expect_refused({"show", kind, file}, file + ":1:1: error: the file is empty, expected a map");
  }
  const std::string json = write("empty.json", "");
  expect_refused({"show", "model", json}, json + ":1:1: error: the file is empty, expected a map");
  const std::string csv = write("empty.csv", "");
  expect_refused({"show", "load", csv}, csv + ":1:1: error: the file is empty, expected a table with a header");
}

TEST_F(BadInputTest, ten_megabytes_of_random_bytes_of_any_kind_are_told) {
  base::RandomStream random(test::test_seed(), "garbage");
  std::string garbage(10'000'000, '\xFE');  // no UTF-8 text begins like this
  for (std::size_t i = 1; i < garbage.size(); ++i) garbage[i] = static_cast<char>(random.next() & 0xFF);
  const std::string message = ":1:1: error: found byte 0xFE, expected text in UTF-8\n    hint: is this the right file?";
  const std::string yaml = write("garbage.yaml", garbage);
  for (const char* kind : {"cluster", "run", "plan", "profile"}) expect_refused({"show", kind, yaml}, yaml + message);
  const std::string json = write("garbage.json", garbage);
  expect_refused({"show", "model", json}, json + message);
  const std::string csv = write("garbage.csv", garbage);
  expect_refused({"show", "load", csv}, csv + message);
  for (const char* name : {"garbage.npy", "garbage.npz"}) {
    const std::string file = write(name, garbage);
    EXPECT_EQ(run({"show", "load", file}).code, 2);
    EXPECT_THAT(run({"show", "load", file}).err, StartsWith(file + ": error: "));
  }
}

TEST_F(BadInputTest, ten_megabytes_of_text_that_is_nothing_are_told) {
  const std::string file = write("text.yaml", test::repeated("a b c\n", 10'000'000));
  for (const char* kind : {"cluster", "run", "plan", "profile"}) {
    expect_refused({"show", kind, file},
                   file + ": error: found 10000000 bytes, expected a YAML file of at most 4194304\n    hint: is this the right file?");
  }
}

TEST_F(BadInputTest, an_alias_bomb_ends_at_the_limit) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string alias = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + test::repeated(alias + ", ", 9 * (alias.size() + 2)) + alias + "]\n";
  }
  const std::string file = write("bomb.yaml", bomb);
  for (const char* kind : {"cluster", "run", "plan", "profile"}) {
    expect_refused({"show", kind, file},
                   file + ":5:45: error: aliases expand to more than 100000 values\n    hint: write the values out, or use fewer aliases");
  }
}

TEST_F(BadInputTest, a_file_that_is_not_there_is_told) {
  expect_refused({"show", "cluster", "no/such.yaml"},
                 "error: \"no/such.yaml\" is neither a file nor a name in configs/clusters\n    hint: there are: " + [] {
                   std::string names;
                   for (const std::string& name : base::shipped_configs("clusters")) names += (names.empty() ? "" : ", ") + name;
                   return names;
                 }());
}

TEST_F(BadInputTest, wrong_usage_is_exit_code_2) {
  EXPECT_EQ(run({"plan"}).code, 2);
  EXPECT_EQ(run({"plam"}).code, 2);
  EXPECT_EQ(run({}).code, 2);
  EXPECT_EQ(run({"show", "cluster", "hgx-h100-1n", "--no-such-flag"}).code, 2);
  EXPECT_EQ(run({"--version"}).code, 0);
}

TEST_F(BadInputTest, a_target_that_cannot_be_written_is_exit_code_3) {
  const std::string file = write("in_the_way", "x");
  const std::string plan = write("plan.yaml",
                                 "name: even\nframework: megatron\n"
                                 "layout: {tp: 1, pp: 1, vp: 1, cp: 1, dp: 8, ep: 8, etp: 1, sequence_parallel: false}\nmicro_batch: 1\n");
  const Outcome outcome = run(small_job("simulate", {"--plan", plan, "-o", file + "/result.txt"}));
  EXPECT_EQ(outcome.code, 3);
  EXPECT_EQ(outcome.err, "error: " + file + "/result.txt: cannot be written: Not a directory\n");
}

TEST_F(BadInputTest, a_model_that_cannot_fit_is_exit_code_1_and_says_by_how_much) {
  // DeepSeek-V3 has 671e9 parameters: in bf16 with fp32 gradients and optimizer states that is 18 bytes each, 12.1e12 bytes
  // or 11.2 TiB, on 8 GPUs of 79.6 GiB (637 GiB together).
  const Outcome outcome = run({"plan", "--cluster", "hgx-h100-1n", "--model", "deepseek-v3", "--run", "pretrain-4k"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("No plan fits: the one that comes nearest, "));
  EXPECT_THAT(outcome.out, ::testing::ContainsRegex("is [0-9.]+ GiB over the 79[.]6 GiB of a GPU on stage 0"));
  const Outcome json = run({"plan", "--cluster", "hgx-h100-1n", "--model", "deepseek-v3", "--run", "pretrain-4k", "--json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_THAT(json.out, HasSubstr("\"status\": \"infeasible\""));
}

}  // namespace
}  // namespace moeplan::cli
