#include "sim/workload/documents.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/workload/run.h"

namespace moeplan::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kHead = "name: r\nglobal_batch: 4\nseq_len: 100\n";

std::string errors_of(const std::string& text) {
  try {
    parse_run(text, "run.yaml");
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

std::string write(const std::string& name, const std::string& text) {
  const std::string path = (std::filesystem::path(testing::TempDir()) / name).string();
  std::ofstream(path) << text;
  return path;
}

std::string fault_of(const std::string& path) {
  try {
    load_document_lengths(path);
  } catch (const base::InputError& error) {
    return error.what();
  }
  return "";
}

std::string npy(const std::string& type, const std::string& shape, const std::string& data) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", type, shape);
  header.resize(118, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + data;
}

TEST(Documents, AreCutWhereSequencesEnd) {
  // 70 70 70 ...: 70 30 | 40 60 | 10 70 20 | 50 50; the sequences are shuffled.
  const RunSpec run = parse_run(kHead + "documents: {lengths: fixed, mean: 70}\n", "run.yaml");
  const PackedStep step = pack_documents(*run.documents, 100, 4, 0);
  ASSERT_EQ(step.first.size(), 5U);
  std::vector<std::vector<std::int64_t>> sequences;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto parts = step.sequence(i);
    EXPECT_EQ(std::accumulate(parts.begin(), parts.end(), std::int64_t{0}), 100);
    sequences.emplace_back(parts.begin(), parts.end());
  }
  std::sort(sequences.begin(), sequences.end());
  EXPECT_THAT(sequences, ElementsAre(ElementsAre(10, 70, 20), ElementsAre(40, 60), ElementsAre(50, 50),
                                     ElementsAre(70, 30)));
}

TEST(Documents, OfOneSequenceOrMoreAreNoPacking) {
  EXPECT_FALSE(parse_run(kHead + "documents: {lengths: fixed, mean: 100}\n", "r").documents);
  EXPECT_FALSE(parse_run(kHead + "documents: {lengths: fixed, mean: 300}\n", "r").documents);
  EXPECT_TRUE(parse_run(kHead + "documents: {lengths: fixed, mean: 150}\n", "r").documents);
}

TEST(Documents, AreTheSameForASeedAndOthersForAnotherDraw) {
  DocumentSpec spec;
  spec.source = DocumentSpec::Source::kLognormal;
  spec.mean = 300;
  spec.sigma = 1;
  const PackedStep one = pack_documents(spec, 4096, 64, 0);
  EXPECT_EQ(one.lengths, pack_documents(spec, 4096, 64, 0).lengths);
  EXPECT_NE(one.lengths, pack_documents(spec, 4096, 64, 1).lengths);
  spec.seed = 2;
  EXPECT_NE(one.lengths, pack_documents(spec, 4096, 64, 0).lengths);
}

TEST(Documents, ComeFromFilesOfLengths) {
  EXPECT_THAT(load_document_lengths(write("lengths.txt", "# tokens\n12\n\n7\r\n")), ElementsAre(12, 7));
  EXPECT_THAT(load_document_lengths(write("lengths.csv", "id,length\n0,5\n1,9\n")), ElementsAre(5, 9));
  const std::string run =
      write("documents_run.yaml", kHead + "documents: {lengths: file, file: lengths.txt}\n");
  EXPECT_THAT(describe(load_run(run)), HasSubstr("2 lengths of lengths.txt, mean 9.5 tokens"));
}

TEST(Documents, ComeFromNumpyFiles) {
  EXPECT_THAT(load_document_lengths(
                  write("lengths.npy", npy("<i2", "(3,)", std::string("\x05\x00\x09\x01\x01\x00", 6)))),
              ElementsAre(5, 265, 1));
  EXPECT_THAT(fault_of(write("table.npy", npy("<i2", "(1, 1)", std::string("\x05\x00", 2)))),
              HasSubstr("found 2 dimensions of whole numbers, expected one dimension of whole numbers"));
  EXPECT_THAT(fault_of(write("real.npy", npy("<f4", "(1,)", std::string(4, '\0')))),
              HasSubstr("found 1 dimensions of floating-point numbers"));
  EXPECT_THAT(fault_of(write("negative.npy", npy("<i2", "(1,)", "\xff\xff"))),
              HasSubstr("found a document of -1 tokens"));
  EXPECT_THAT(fault_of(write("junk.npy", "junk")), HasSubstr("found no .npy header"));
}

TEST(Documents, FaultsNameWhatWasFound) {
  EXPECT_THAT(errors_of(kHead + "documents: {lengths: normal, mean: 5}\n"),
              HasSubstr("expected one of fixed, lognormal, file"));
  EXPECT_THAT(errors_of(kHead + "documents: {lengths: fixed, mean: 0.5}\n"),
              HasSubstr("run.yaml:4:35: error: found 0.5, expected 1 to 1000000000 tokens"));
  EXPECT_THAT(errors_of(kHead + "documents: {lengths: lognormal, mean: 5, sigma: 9}\n"),
              HasSubstr("found 9, expected 0 to 5"));
  EXPECT_THAT(errors_of(kHead + "documents: {lengths: fixed, mean: 5, sigma: 1}\n"),
              HasSubstr("unknown key \"sigma\""));
  EXPECT_THAT(errors_of(kHead + "fusion: {attention: false}\ndocuments: {lengths: fixed, mean: 5}\n"),
              HasSubstr("documents need fused attention"));
  EXPECT_THAT(
      errors_of("name: r\nglobal_batch: 1000000\nseq_len: 1000\ndocuments: {lengths: fixed, mean: 5}\n"),
      HasSubstr("found about 2e+08 documents a step, expected at most 5e+06"));
  EXPECT_THAT(fault_of(write("bad.txt", "5\nfive\n")),
              HasSubstr("bad.txt:2:1: error: found \"five\", expected"));
  EXPECT_THAT(fault_of(write("zero.txt", "0\n")), HasSubstr("found a document of 0 tokens"));
  EXPECT_THAT(fault_of(write("none.txt", "#\n")), HasSubstr("found no document"));
  EXPECT_THAT(fault_of(write("bad.csv", "len\n5\n")), HasSubstr("length"));
}

}  // namespace
}  // namespace moeplan::sim
