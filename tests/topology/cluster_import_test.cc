#include "topology/cluster_import.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/document.h"
#include "base/files.h"
#include "tests/support/corpus.h"
#include "tests/support/input_error.h"
#include "topology/cluster.h"

namespace moeplan::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Nvlink = NodeDraft::Nvlink;

NodeDraft read(const std::string& text) { return read_node_topology(text, "node.txt"); }

std::string fault(const std::string& text) {
  return test::input_error_of([&] { read(text); });
}

std::string written(const NodeDraft& draft, const DraftAdditions& additions = {}) {
  return import_cluster(draft, "node.txt", additions).text;
}

ClusterSpec shipped(const std::string& name) {
  return read_cluster_spec(
      base::load_document((test::source_root() / "configs/clusters" / (name + ".yaml")).string()));
}

constexpr const char* kFour =
    "\t\x1b[4mGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tNIC1\tNIC2\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tNV18\tNV18\tNV18\tPIX\tSYS\tNODE\t0-31\t0\t\tN/A\n"
    "GPU1\tNV18\t X \tNV18\tNV18\tSYS\tSYS\tNODE\t0-31\t0\t\tN/A\n"
    "GPU2\tNV18\tNV18\t X \tNV18\tSYS\tPIX\tSYS\t32-63\t1\t\tN/A\n"
    "GPU3\tNV18\tNV18\tNV18\t X \tSYS\tSYS\tSYS\t32-63\t1\t\tN/A\n"
    "NIC0\tPIX\tSYS\tSYS\tSYS\t X \tSYS\tSYS\n"
    "NIC1\tSYS\tSYS\tPIX\tSYS\tSYS\t X \tSYS\n"
    "NIC2\tNODE\tNODE\tSYS\tSYS\tSYS\tSYS\t X \n"
    "\n"
    "Legend:\n\n  X    = Self\n  NV#  = Connection traversing a bonded set of # NVLinks\n\n"
    "NIC Legend:\n\n  NIC0: mlx5_0\n";

// The nearest NIC first (PIX), and of equally far ones that of the same NUMA node; a NIC that is nearest to
// no GPU is the host's own.
TEST(SmiMatrix, GivesEachGpuItsNic) {
  const NodeDraft draft = read(kFour);
  EXPECT_EQ(draft.gpus, 4);
  EXPECT_EQ(draft.nvlink, Nvlink::kSwitch);
  EXPECT_EQ(draft.switch_links, 18);
  ASSERT_TRUE(draft.nics);
  EXPECT_THAT(draft.nics->used, ElementsAre("NIC0", "NIC1", "NIC2"));
  EXPECT_THAT(draft.nics->affinity, ElementsAre(0, 2, 1, 1));
}

TEST(SmiMatrix, TheSameNumaNodeGoesBefore) {
  std::string text = kFour;
  // GPU1 sees all NICs over SYS: it shares that of GPU0, which is of its NUMA node.
  text.replace(text.find("GPU1\tNV18\t X \tNV18\tNV18\tSYS\tSYS\tNODE"), 36,
               "GPU1\tNV18\t X \tNV18\tNV18\tSYS\tSYS\tSYS ");
  const NodeDraft draft = read(text);
  EXPECT_THAT(draft.nics->affinity, ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(draft.nics->used, ElementsAre("NIC0", "NIC1"));
  EXPECT_THAT(draft.notes, ElementsAre(HasSubstr("no GPU is nearest to NIC2")));
}

TEST(SmiMatrix, CompletesMissingRowsBySymmetry) {
  const std::string header = "     GPU0 GPU1 GPU2 NIC0 NIC1 CPU Affinity\n";
  const NodeDraft mirror = read(header + "GPU0 X NV1 NV2 PIX SYS 0\nGPU1 NV1 X SYS PIX SYS 0\n");
  EXPECT_EQ(mirror.nvlink, Nvlink::kMesh);
  ASSERT_EQ(mirror.pairs.size(), 2U);  // GPU1 and GPU2 have none
  EXPECT_EQ(mirror.pairs[1].b, 2);
  EXPECT_EQ(mirror.pairs[1].bricks, 2);
  EXPECT_THAT(mirror.nics->affinity, ElementsAre(0, 0, -1));
  EXPECT_THAT(mirror.notes, ::testing::Contains(HasSubstr("the rows of GPU2 are missing")));
  // Two missing rows, and the known pairs are not alike: nobody knows.
  EXPECT_EQ(read("GPU0 GPU1 GPU2 GPU3\nGPU0 X NV1 NV2 NV1\nGPU1 NV1 X SYS SYS\n").nvlink, Nvlink::kUnknown);
  EXPECT_EQ(read("GPU0 GPU1 GPU2 GPU3\nGPU0 X NV12 NV12 NV12\n").nvlink, Nvlink::kSwitch);
}

TEST(SmiMatrix, TellsSwitchMeshAndNone) {
  EXPECT_EQ(read("GPU0 GPU1\nGPU0 X NV12\nGPU1 NV12 X\n").nvlink, Nvlink::kMesh);
  EXPECT_EQ(read("GPU0 GPU1\nGPU0 X PHB\nGPU1 PHB X\n").nvlink, Nvlink::kNone);
  EXPECT_EQ(read("GPU0\nGPU0 X\n").nvlink, Nvlink::kNone);
}

TEST(SmiMatrix, RefusesWhatIsNoMatrix) {
  EXPECT_THAT(fault("GPU0 GPU1\n"), HasSubstr("no row below"));
  EXPECT_THAT(fault("GPU0 GPU1\nGPU0 X NV4\nGPU1 NV2 X\n"), HasSubstr("NV4 in one row, NV2 in the other"));
  EXPECT_THAT(fault("GPU0 GPU1\nGPU0 X\n"), HasSubstr("row GPU0, column GPU1: found \"\", expected X, NV#"));
  EXPECT_THAT(fault("GPU0 GPU1\nGPU0 NV4 X\n"), HasSubstr("X belongs on the diagonal"));
  EXPECT_THAT(fault("GPU0 GPU0\nGPU0 X NV4\n"), HasSubstr("the column GPU0 is there twice"));
  EXPECT_THAT(fault("GPU0 GPU1\nGPU0 X NV4\nGPU0 X NV4\n"),
              HasSubstr("node.txt:3:1: error: the row GPU0 is there twice"));
  EXPECT_THAT(fault("GPU0 NIC0 GPU1\nGPU0 X PIX NV4\n"), HasSubstr("a GPU stands behind a NIC"));
  EXPECT_THAT(fault("hello\n"), HasSubstr("no known kind of topology file"));
  EXPECT_THAT(fault(" \n"), HasSubstr("the file is empty"));
  EXPECT_THAT(fault("vendid=0x2c9\nSwitch 41 \"S-0\"\n"), HasSubstr("ibnetdiscover"));
}

TEST(RocmTopology, XgmiIsAMesh) {
  const std::string text =
      "=== Link Type between two GPUs ===\n       GPU0 GPU1 GPU2\nGPU0   0    XGMI XGMI\nGPU1   XGMI 0    "
      "PCIE\nGPU2   XGMI PCIE 0\n";
  const NodeDraft draft = read(text);
  EXPECT_EQ(draft.nvlink, Nvlink::kMesh);
  EXPECT_EQ(draft.pairs.size(), 2U);
  EXPECT_THAT(fault(text.substr(0, 90)), HasSubstr("expected a row"));
}

constexpr const char* kSystem = R"(<system version="1">
  <cpu numaid="0">
    <pci busid="ffff:ff:01.0" class="0x060400" link_speed="16 GT/s" link_width="16">
      <pci busid="0000:0b:00.0" class="0x030200" vendor="0x10de" device="0x20b2" link_speed="16 GT/s" link_width="16">
        <gpu dev="1" sm="80"><nvlink target="0000:05:00.0" count="6" tclass="0x068000"/><nvlink target="0000:06:00.0" count="6" tclass="0x068000"/></gpu>
      </pci>
      <pci busid="0000:0a:00.0" class="0x030200" vendor="0x10de" device="0x20b2" link_speed="16 GT/s" link_width="16">
        <gpu dev="0" sm="80"><nvlink target="0000:05:00.0" count="12" tclass="0x068000"/></gpu>
      </pci>
      <pci busid="0000:0c:00.0" class="0x020700" link_speed="16 GT/s" link_width="16">
        <nic><net name="mlx5_0" dev="0" speed="200000"/></nic>
      </pci>
    </pci>
  </cpu>
</system>
)";

TEST(NcclSystem, ReadsGpusSwitchesAndNics) {
  const NodeDraft draft = read(kSystem);
  EXPECT_EQ(draft.gpus, 2);
  EXPECT_EQ(draft.gpu, "A100-SXM4-80GB");
  EXPECT_EQ(draft.nvlink, Nvlink::kSwitch);
  EXPECT_EQ(draft.switch_links, 12);
  ASSERT_TRUE(draft.host_link);
  EXPECT_EQ(draft.host_link->gpus, 2);
  // PCI Express 4.0 x16: 16 GT/s, 16 lanes, 128 of 130 bits.
  EXPECT_NEAR(draft.pcie->bytes_per_s(), 16e9 * 16 * 128 / 130 / 8, 1.0);
  EXPECT_THAT(draft.nics->affinity, ElementsAre(0, 0));
  EXPECT_NEAR(draft.nics->bandwidth->bytes_per_s(), 25e9, 1.0);
}

TEST(NcclSystem, RefusesWhatIsNoSystem) {
  EXPECT_THAT(fault("<system>\n<cpu>\n</system>"), HasSubstr("node.txt:3:"));
  EXPECT_THAT(fault("<graphs/>"), HasSubstr("NCCL_TOPO_DUMP_FILE"));
  EXPECT_THAT(fault("<other/>"), HasSubstr("found <other>, expected <system>"));
  EXPECT_THAT(fault("<system/>"), HasSubstr("no <cpu>"));
  EXPECT_THAT(fault("<system><cpu/></system>"), HasSubstr("found no GPU"));
  EXPECT_THAT(fault("<system><cpu><pci class=\"0x030200\" link_width=\"wide\"/></cpu></system>"),
              HasSubstr("link_width=\"wide\" is no whole number"));
  std::string deep = "<system><cpu>";
  for (int i = 0; i < 100; ++i) deep += "<pci>";
  for (int i = 0; i < 100; ++i) deep += "</pci>";
  EXPECT_THAT(fault(deep + "</cpu></system>"), HasSubstr("deep"));
}

TEST(NcclSystem, WithoutGpuElementsNvlinkIsUnknown) {
  const std::string text =
      "<system><cpu><pci busid=\"2\" class=\"0x030200\"/><pci busid=\"1\" "
      "class=\"0x030200\"/></cpu></system>";
  const NodeDraft draft = read(text);
  EXPECT_EQ(draft.nvlink, Nvlink::kUnknown);
  const ClusterDraft cluster = import_cluster(draft, "node.xml", {});
  EXPECT_THAT(cluster.unknown, ElementsAre("node.gpu", "node.memory", "node.profile", "node.nvlink"));
  EXPECT_THAT(test::input_error_of([&] { read_cluster_spec(base::parse_yaml(cluster.text, "node.yaml")); }),
              HasSubstr("importers write `unknown`"));
}

TEST(ClusterDraft, WhatIsStatedAndAnotherClusterMakeItWhole) {
  const ClusterSpec like = shipped("hgx-h100-4n");
  DraftAdditions additions;
  additions.like = &like;
  const ClusterDraft cluster = import_cluster(read(kFour), "my node.txt", additions);
  EXPECT_THAT(cluster.unknown, IsEmpty());
  const ClusterSpec spec = read_cluster_spec(base::parse_yaml(cluster.text, "node.yaml"));
  EXPECT_EQ(spec.name, "my-node");
  EXPECT_EQ(spec.node.profile, "h100-sxm");
  EXPECT_EQ(spec.node.memory, like.node.memory);
  EXPECT_NEAR(spec.node.nvlink->bandwidth.bytes_per_s(), 450e9, 1.0);
  EXPECT_THAT(spec.node.nics->affinity, ElementsAre(0, 2, 1, 1));

  // Another GPU is stated: what the other cluster says of its GPU does not hold for it.
  additions.stated = {{"node.gpu", "B200-SXM"}};
  EXPECT_THAT(import_cluster(read(kFour), "n", additions).unknown, ElementsAre("node.memory"));
  EXPECT_THAT(written(read(kFour), additions), HasSubstr("900 GB/s"));
  additions.stated["node.memory"] = "180 GiB";
  EXPECT_THAT(import_cluster(read(kFour), "n", additions).unknown, IsEmpty());
}

TEST(ClusterDraft, FewerLinksAreLessBandwidth) {
  DraftAdditions additions;
  additions.stated = {{"node.gpu", "H800-SXM"}};
  const std::string text = written(read("GPU0 GPU1 GPU2 GPU3\nGPU0 X NV8 NV8 NV8\n"), additions);
  EXPECT_THAT(text, HasSubstr("bandwidth: 200 GB/s"));
  EXPECT_THAT(text, HasSubstr("8 links of 25.0 GB/s"));
}

TEST(ClusterDraft, RefusesWhatItCannotSet) {
  const auto refusal = [](const std::string& path, const std::string& value) {
    return test::input_error_of([&] { written(read(kFour), {{{path, value}}, nullptr}); });
  };
  EXPECT_THAT(refusal("node.nics.bandwith", "1 GB/s"), HasSubstr("did you mean \"node.nics.bandwidth\""));
  EXPECT_THAT(refusal("node.memory", "80 GiB\nnodes: 2"), HasSubstr("expected a value"));
  EXPECT_THAT(refusal("node.nvlink", "yes"), HasSubstr("expected \"none\""));
  const ClusterSpec like = shipped("hgx-h100-4n");
  EXPECT_THAT(test::input_error_of([&] {
                written(read(kFour), {{{"node.memory", "80"}}, &like});
              }),
              HasSubstr("has no unit"));
}

// Every file of the corpus is a node type, or refused by name; with what it lacks from a shipped cluster of
// such a GPU it compiles.
TEST(ClusterImport, TheCorpus) {
  const auto corpus = test::corpus();
  if (!corpus) GTEST_SKIP() << "no corpus (MOEPLAN_CORPUS)";
  const std::set<std::string> refused{"uccl_graph_dump_1.xml", "uccl_graph_dump_2.xml",
                                      "superbench_ibnetdiscover_multilevel.txt"};
  int read_files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(*corpus / "topo")) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".csv") continue;
    SCOPED_TRACE(name);
    const std::string text = base::read_text_file(entry.path().string());
    if (refused.count(name) > 0) {
      EXPECT_THAT(test::input_error_of([&] { read_node_topology(text, name); }), Not(HasSubstr("no error")));
      continue;
    }
    const NodeDraft draft = read_node_topology(text, name);
    const ClusterDraft bare = import_cluster(draft, name, {});
    EXPECT_THAT(bare.unknown, ::testing::Contains("node.memory"));
    ++read_files;
    if (draft.gpus == 8 && draft.switch_links == 18 &&
        (!draft.nics || draft.nics->affinity.empty() ||
         std::count(draft.nics->affinity.begin(), draft.nics->affinity.end(), -1) == 0)) {
      const ClusterSpec like = shipped("hgx-h100-1n");
      const ClusterDraft whole = import_cluster(draft, name, {{}, &like});
      EXPECT_THAT(whole.unknown, IsEmpty());
      EXPECT_EQ(compile(read_cluster_spec(base::parse_yaml(whole.text, name))).ranks(), 8);
    }
  }
  EXPECT_GE(read_files, 20);
}

}  // namespace
}  // namespace moeplan::topology
