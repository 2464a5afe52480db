#include "report/validation/step_table.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/diagnostics.h"
#include "tests/support/corpus.h"

namespace moeplan::report {
namespace {

constexpr const char* kHeader =
    "id,source,release,model_id,is_moe,gpu,num_gpus,cluster_id,seq_len,gbs,mbs,tp,pp,vp,cp,ep,etp,dp,sp,"
    "precision,recompute,"
    "dispatcher,a2a_overlap,cuda_graph,fsdp,pp_layout,cpu_offload_layers,routing,step_time_s,tokens_per_s_"
    "per_gpu,"
    "peak_alloc_bytes,tflops_per_gpu,flops_formula,usable,assumed,why_not\n";

std::string row(const std::string& id, const std::string& release, const std::string& precision,
                const std::string& seconds, const std::string& usable = "yes") {
  return id + ",src," + release + ",m,1,H100,16,dgx-h100,4096,64,1,1,2,1,1,8,1,8,0," + precision +
         ",none,alltoall,0,none,0,,0,forced_balance," + seconds + ",,,,," + usable + ",cluster,\n";
}

std::vector<StepRow> load(const std::string& rows) {
  const test::TemporaryFolder folder;
  const std::string path = (folder.path() / "steps.csv").string();
  std::ofstream(path) << kHeader << rows;
  return load_steps(path, "e2e/steps.csv");
}

TEST(StepTable, ReadsARowWithItsEmptyCellsAsDefaults) {
  const std::vector<StepRow> rows = load(row("7", "nemo-26.04", "bf16", "2.5"));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].name, "e2e/steps.csv#7");
  EXPECT_EQ(rows[0].pp, 2);
  EXPECT_FALSE(rows[0].peak_bytes);
  EXPECT_EQ(rows[0].method, "");
  // 64 sequences x 4096 tokens / 2.5 s / 16 GPUs
  EXPECT_DOUBLE_EQ(rows[0].tokens_per_s_per_gpu(), 64.0 * 4096.0 / 2.5 / 16.0);
}

TEST(StepTable, ClassesTellNodesStacksAndFormats) {
  StepRow row;
  row.gpus = 8;
  row.precision = "bf16";
  row.release = "megatron-bridge-skills";
  EXPECT_EQ(row.step_class(), "one node");
  row.release = "simumax-b200-v1.2";
  EXPECT_EQ(row.step_class(), "one node, SimuMax");
  row.gpus = 16;
  row.release = "nemo-26.04";
  row.precision = "mxfp8";
  EXPECT_EQ(row.step_class(), "several nodes, MXFP8 or NVFP4");
  row.release = "LAER-MoE-AE@72db5b7";
  row.precision = "bf16";
  EXPECT_EQ(row.step_class(), "several nodes, LAER");
}

// Dense rows of even number, and the tp 8 steps that the host decides, are those of the fits.
TEST(StepTable, RowsOfTheFitsAreDense) {
  StepRow row;
  row.id = 377;
  row.tp = 8;
  row.release = "simumax-b200-v1.2";
  row.model = "llama3-70b-l12";
  EXPECT_TRUE(row.seen_by_fit());
  row.tp = 4;
  EXPECT_FALSE(row.seen_by_fit());
  row.id = 376;
  EXPECT_TRUE(row.seen_by_fit());
  row.moe = true;
  EXPECT_FALSE(row.seen_by_fit());
}

TEST(StepTable, RefusesAUsableRowWithoutATime) {
  EXPECT_THROW(load(row("7", "nemo-26.04", "bf16", "0")), base::InputError);
}

TEST(StepTable, DoesNotReadTheFiguresOfRowsThatAreNotUsable) {
  const std::vector<StepRow> rows = load(row("7", "nemo-26.04", "bf16", "", "no"));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_FALSE(rows[0].complete);
  EXPECT_EQ(rows[0].gpus, 0);
}

TEST(StepTable, ReadsARowThatIsNotUsableWhereItIsWhole) {
  const std::vector<StepRow> rows = load(row("7", "nemo-26.04", "bf16", "2", "partial"));
  EXPECT_TRUE(rows[0].complete);
  EXPECT_FALSE(rows[0].is_usable());
  EXPECT_EQ(rows[0].gpus, 16);
}

TEST(NewestPerConfiguration, KeepsTheNewestReleaseWhateverTheOrder) {
  const std::vector<StepRow> rows = newest_per_configuration(load(row("3", "nemo-26.04.01", "bf16", "1") +
                                                                  row("9", "nemo-26.04", "bf16", "2") +
                                                                  row("4", "nemo-25.11", "fp8_cs", "3")));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].id, 3);  // 26.04.01 is newer than 26.04 although its id is lower
  EXPECT_EQ(rows[1].id, 4);  // another precision is another configuration
}

TEST(NewestPerConfiguration, KeepsTheLastOfOneRelease) {
  const std::vector<StepRow> rows =
      newest_per_configuration(load(row("3", "ladder@1", "bf16", "1") + row("4", "ladder@1", "bf16", "2")));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0].id, 4);
}

}  // namespace
}  // namespace moeplan::report
