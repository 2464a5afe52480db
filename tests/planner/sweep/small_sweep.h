#pragma once

#include <filesystem>
#include <string>

#include "base/document.h"
#include "base/files.h"
#include "tests/support/corpus.h"

namespace moeplan::sweep {

inline constexpr const char* kSmallRun = "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n";
inline constexpr const char* kSmallPlan =
    "name: two-stages\nlayout:\n  tp: 1\n  pp: 2\n  ep: 4\n  dp: 4\nmicro_batch: 1\n";
inline constexpr const char* kSmallHead =
    "name: small\nverb: simulate\nbase:\n  cluster: hgx-h100-1n\n  model: tiny-moe\n  run: run.yaml\n"
    "  plan: plan.yaml\n";
inline constexpr const char* kSmallAxes =
    "axes:\n"
    "  - cluster.node.nvlink.bandwidth: [100 GB/s, 450 GB/s]\n"
    "  - load: [uniform, \"zipf:1.0\"]\n"
    "  - plan.micro_batch: [1, 2, 16]\n";

/// A folder with a run and a plan of tiny-moe on one node of H100, and sweeps over them.
struct SmallSweep {
  SmallSweep() {
    write("run.yaml", kSmallRun);
    write("plan.yaml", kSmallPlan);
  }
  std::string path(const std::string& name) const { return (folder.path() / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    base::write_file_atomically(path(name), text);
    return path(name);
  }
  /// The sweep file of this text, read.
  base::Document document(const std::string& text) const {
    return base::load_document(write("sweep.yaml", text));
  }

  test::TemporaryFolder folder;
};

}  // namespace moeplan::sweep
