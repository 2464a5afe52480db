#include "topology/node_draft.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "topology/gpu_models.h"

namespace moeplan::topology {

namespace {

/// A value and where it is from.
struct Known {
  std::string value;
  std::string comment;
};

/// Quantities in the units that people write them in.
std::string text_of(base::BytesPerSecond rate) {
  return fmt::format("{:.6g} GB/s", rate.bytes_per_s() * 1e-9);
}
std::string port_text(base::BytesPerSecond rate) {
  return fmt::format("{:.6g} Gb/s", rate.bytes_per_s() * 8e-9);
}
std::string text_of(base::Seconds time) { return fmt::format("{:.6g} us", time.s() * 1e6); }
std::string text_of(base::Bytes memory) {
  const std::int64_t mib = base::Bytes::from_mib(1).count();
  return memory.count() % mib == 0 ? fmt::format("{} MiB", memory.count() / mib) : base::format(memory);
}

class DraftWriter {
 public:
  DraftWriter(const NodeDraft& draft, const DraftAdditions& additions)
      : draft_(draft), additions_(additions) {}
  ClusterDraft write(const std::string& name);

 private:
  using Source = std::optional<Known>;

  void line(int indent, const std::string& text, const std::string& comment);
  /// One line; the value is what was stated, else the file's, else that of --like, else `unknown`. Returns
  /// it.
  std::string field(const std::string& path, const Source& file, const Source& like,
                    const std::string& remark = "");
  Source stated(const std::string& path);
  const ClusterSpec* like() const { return additions_.like; }
  Known from_like(std::string value) const { return {std::move(value), "as in " + like()->name}; }
  std::optional<GpuFamily> family() const { return find_gpu_family(gpu_); }
  bool like_has_this_gpu() const;

  void write_gpu();
  void write_nvlink();
  void write_mesh_pairs();
  void write_pcie();
  void write_host_link();
  void write_nics();
  Source nvlink_bandwidth(NodeDraft::Nvlink kind) const;
  void refuse_unused() const;

  const NodeDraft& draft_;
  const DraftAdditions& additions_;
  std::string text_;
  std::string gpu_;
  bool needs_pcie_ = false;
  std::vector<std::string> unknown_;
  std::set<std::string> fields_;
};

void DraftWriter::line(int indent, const std::string& text, const std::string& comment) {
  const std::string left = std::string(static_cast<std::size_t>(2 * indent), ' ') + text;
  text_ += comment.empty() ? left + "\n" : fmt::format("{:<30} # {}\n", left, comment);
}

DraftWriter::Source DraftWriter::stated(const std::string& path) {
  const auto found = additions_.stated.find(path);
  if (found == additions_.stated.end()) return std::nullopt;
  return Known{found->second, "stated when importing"};
}

std::string DraftWriter::field(const std::string& path, const Source& file, const Source& like,
                               const std::string& remark) {
  fields_.insert(path);
  const auto depth = std::count(path.begin(), path.end(), '.');
  const std::string key = path.substr(path.rfind('.') + 1);
  Known known{"unknown", remark.empty() ? "not in the file" : "not in the file; " + remark};
  if (const Source said = stated(path)) {
    known = *said;
    if (file && file->value != said->value) known.comment += "; the file says " + file->value;
  } else if (file) {
    known = *file;
  } else if (like) {
    known = *like;
  } else {
    unknown_.push_back(path);
  }
  line(static_cast<int>(depth), key + ": " + known.value, known.comment);
  return known.value;
}

bool DraftWriter::like_has_this_gpu() const {
  if (like() == nullptr) return false;
  if (gpu_ == like()->node.gpu) return true;
  const auto mine = family();
  const auto theirs = find_gpu_family(like()->node.gpu);
  return mine && theirs && mine->prefix == theirs->prefix;
}

void DraftWriter::write_gpu() {
  const auto of_file = [&](const std::string& value) -> Source {
    if (value.empty()) return std::nullopt;
    return Known{value, "PCI device"};
  };
  const Source like_gpu = like() != nullptr ? Source(from_like(like()->node.gpu)) : std::nullopt;
  gpu_ = field("node.gpu", of_file(draft_.gpu), like_gpu, "a label: H100-SXM");
  const bool same = like_has_this_gpu();
  field("node.memory", std::nullopt, same ? Source(from_like(text_of(like()->node.memory))) : std::nullopt,
        "per GPU, as the driver reports it");
  Source profile = same ? Source(from_like(like()->node.profile)) : std::nullopt;
  if (const auto known = family(); known && !known->profile.empty())
    profile = Known{std::string(known->profile), "shipped for this GPU"};
  field("node.profile", std::nullopt, profile, "moeplan calibrate makes one");
}

DraftWriter::Source DraftWriter::nvlink_bandwidth(NodeDraft::Nvlink kind) const {
  std::optional<base::BytesPerSecond> per_link = draft_.nvlink_per_link;
  if (const auto known = family(); !per_link && known && known->nvlinks > 0) per_link = known->per_link;
  const bool is_switch = kind == NodeDraft::Nvlink::kSwitch;
  if (per_link && !is_switch) return Known{text_of(*per_link), "per link and direction"};
  if (per_link && draft_.switch_links > 0) {
    return Known{text_of(*per_link * static_cast<double>(draft_.switch_links)),
                 fmt::format("{} links of {}", draft_.switch_links, base::pretty(*per_link))};
  }
  if (!like_has_this_gpu() || !like()->node.nvlink || draft_.switch_links > 0) return std::nullopt;
  const NvlinkSpec& theirs = *like()->node.nvlink;
  if ((theirs.kind == NvlinkSpec::Kind::kSwitch) != is_switch) return std::nullopt;
  return from_like(text_of(theirs.bandwidth));
}

void DraftWriter::write_mesh_pairs() {
  line(2, "pairs:", "");
  for (const NvlinkSpec::Pair& pair : draft_.pairs)
    line(3, fmt::format("- {{gpus: [{}, {}], bricks: {}}}", pair.a, pair.b, pair.bricks), "");
}

void DraftWriter::write_nvlink() {
  using Nvlink = NodeDraft::Nvlink;
  Nvlink kind = draft_.nvlink;
  const Source whole = stated("node.nvlink");
  fields_.insert("node.nvlink");
  if (whole && whole->value != "none")
    throw base::InputError(
        fmt::format("node.nvlink: found {}, expected \"none\"", base::excerpt(whole->value)),
        "a switch: --set node.nvlink.kind=switch, and its bandwidth");
  if (whole) kind = Nvlink::kNone;
  if (kind == Nvlink::kUnknown && stated("node.nvlink.kind")) {
    if (stated("node.nvlink.kind")->value != "switch")
      throw base::InputError(fmt::format("node.nvlink.kind: found {}, expected \"switch\"",
                                         base::excerpt(stated("node.nvlink.kind")->value)),
                             "write the pairs of a mesh into the file that this makes");
    kind = Nvlink::kSwitch;
  }
  const bool take = kind == Nvlink::kUnknown && like() != nullptr && like_has_this_gpu() &&
                    like()->node.nvlink && like()->node.nvlink->kind == NvlinkSpec::Kind::kSwitch;
  if (take) kind = Nvlink::kSwitch;
  if (kind == Nvlink::kUnknown) {
    unknown_.emplace_back("node.nvlink");
    line(1, "nvlink: unknown", "not in the file; a section, or remove this line where there is none");
    return;
  }
  needs_pcie_ = kind == Nvlink::kNone;
  if (kind == Nvlink::kNone) return;
  line(1, "nvlink:", "");
  const bool from_file = draft_.nvlink != Nvlink::kUnknown;
  const std::string word = kind == Nvlink::kSwitch ? "switch" : "mesh";
  field("node.nvlink.kind", from_file ? Source(Known{word, ""}) : std::nullopt,
        take ? Source(from_like(word)) : std::nullopt);
  field("node.nvlink.bandwidth", std::nullopt, nvlink_bandwidth(kind),
        kind == Nvlink::kSwitch
            ? (draft_.switch_links > 0
                   ? fmt::format("of all {} links of a GPU, one direction", draft_.switch_links)
                   : std::string("per GPU and direction"))
            : std::string("per link and direction"));
  const bool like_has = like() != nullptr && like()->node.nvlink;
  field("node.nvlink.latency", std::nullopt,
        like_has ? Source(from_like(text_of(like()->node.nvlink->latency))) : std::nullopt, "of one link");
  if (kind == Nvlink::kMesh) write_mesh_pairs();
}

void DraftWriter::write_pcie() {
  if (!needs_pcie_) {
    if (draft_.pcie)
      line(1, fmt::format("# the PCIe port of a GPU carries {}", base::pretty(*draft_.pcie)), "");
    return;
  }
  line(1, "pcie:", "");
  const bool like_has = like() != nullptr && like()->node.pcie;
  field("node.pcie.bandwidth",
        draft_.pcie ? Source(Known{text_of(*draft_.pcie), "link speed and width"}) : std::nullopt,
        like_has ? Source(from_like(text_of(like()->node.pcie->bandwidth))) : std::nullopt,
        "per GPU and direction");
  field("node.pcie.latency", std::nullopt,
        like_has ? Source(from_like(text_of(like()->node.pcie->latency))) : std::nullopt, "of one link");
}

void DraftWriter::write_host_link() {
  if (!draft_.host_link) return;
  line(1, "host_link:", "GPUs behind one PCIe switch");
  line(2, fmt::format("gpus: {}", draft_.host_link->gpus), "");
  line(2, "bandwidth: " + text_of(draft_.host_link->bandwidth), "link speed and width of the switch's port");
}

void DraftWriter::write_nics() {
  if (!draft_.nics) {
    line(1, "# no NIC is in the file; several nodes need a section nics, and a fabric", "");
    return;
  }
  const NicDraft& nics = *draft_.nics;
  const NicSpec* theirs = like() != nullptr && like()->node.nics ? &*like()->node.nics : nullptr;
  const bool open = std::find(nics.affinity.begin(), nics.affinity.end(), -1) != nics.affinity.end();
  line(1, "nics:", nics.used.empty() ? "" : fmt::format("{}", fmt::join(nics.used, ", ")));
  field("node.nics.count", open ? std::nullopt : Source(Known{fmt::format("{}", nics.count), ""}),
        open && theirs != nullptr ? Source(from_like(fmt::format("{}", theirs->count))) : std::nullopt,
        open ? fmt::format("{} are nearest to GPUs whose rows are there", nics.count) : "");
  field("node.nics.bandwidth", nics.bandwidth ? Source(Known{port_text(*nics.bandwidth), ""}) : std::nullopt,
        theirs != nullptr && (!nics.transport || *nics.transport == theirs->transport)
            ? Source(from_like(port_text(theirs->bandwidth)))
            : std::nullopt,
        "per NIC and direction");
  field("node.nics.latency", std::nullopt,
        theirs != nullptr ? Source(from_like(text_of(theirs->latency))) : std::nullopt, "NIC to leaf switch");
  if (open || !nics.affinity.empty()) {
    std::vector<std::string> words;
    for (const int nic : nics.affinity) words.push_back(nic < 0 ? "unknown" : fmt::format("{}", nic));
    const std::string list = fmt::format("[{}]", fmt::join(words, ", "));
    const bool states = additions_.stated.count("node.nics.affinity") > 0;
    if (open && !states) unknown_.emplace_back("node.nics.affinity");
    field("node.nics.affinity", Known{list, "[gpu] -> NIC"}, std::nullopt);
  }
  if (nics.transport || stated("node.nics.transport")) {
    field("node.nics.transport",
          nics.transport ? Source(Known{*nics.transport == NicTransport::kEfa ? "efa" : "rdma", "PCI vendor"})
                         : std::nullopt,
          std::nullopt);
  }
}

void DraftWriter::refuse_unused() const {
  for (const auto& [path, value] : additions_.stated) {
    if (fields_.count(path) > 0) continue;
    const std::string near = base::nearest_word(path, {fields_.begin(), fields_.end()});
    throw base::InputError(fmt::format("--set {}: this file has no such value", path),
                           near.empty() ? fmt::format("what may be set: {}", fmt::join(fields_, ", "))
                                        : fmt::format("did you mean \"{}\"?", near));
  }
}

ClusterDraft DraftWriter::write(const std::string& name) {
  text_ = fmt::format(
      "# One node, read from {}. What that file does not say is unknown: moeplan guesses nothing, and\n"
      "# refuses this file until it is stated.\n",
      draft_.origin);
  for (const std::string& note : draft_.notes) text_ += "# Note: " + note + "\n";
  line(0, "name: " + name, "");
  line(0, "nodes: 1", "several need a fabric: docs/formats/cluster.md");
  line(0, "node:", "");
  field("node.gpus", draft_.gpus ? Source(Known{fmt::format("{}", *draft_.gpus), ""}) : std::nullopt,
        std::nullopt);
  write_gpu();
  write_nvlink();
  write_pcie();
  write_host_link();
  write_nics();
  refuse_unused();
  return {text_, unknown_};
}

}  // namespace

ClusterDraft write_cluster_draft(const NodeDraft& draft, const std::string& name,
                                 const DraftAdditions& additions) {
  return DraftWriter(draft, additions).write(name);
}

}  // namespace moeplan::topology
