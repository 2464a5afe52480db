#include "topology/cluster_import.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "topology/cluster_spec.h"
#include "topology/topology_text.h"

namespace moeplan::topology {

namespace {

bool holds(std::string_view text, std::string_view word) { return text.find(word) != std::string_view::npos; }

/// A name of letters, digits, dots, dashes and underscores.
std::string name_of(const std::string& file) {
  std::string name = std::filesystem::path(file).stem().string();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '-' && c != '_' && c != '.') c = '-';
  }
  return name.empty() || name == "-" ? "imported" : name;
}

void check_stated(const DraftAdditions& additions) {
  for (const auto& [path, value] : additions.stated) {
    const bool clean = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
      return c >= ' ' && c != '#' && c != '\x7f';
    });
    if (!clean)
      throw base::InputError(fmt::format("--set {}: found {}, expected a value", path, base::excerpt(value)));
  }
}

}  // namespace

NodeDraft read_node_topology(std::string_view text, const std::string& file) {
  const std::size_t start = text.find_first_not_of(" \t\r\n\xef\xbb\xbf");
  if (start == std::string_view::npos) throw base::InputError(file + ": the file is empty");
  if (text[start] == '<') return read_nccl_system(text, file);
  if (holds(text, "Link Type between two GPUs")) return read_rocm_topology(text, file);
  if (holds(text, "vendid=") || holds(text, "switchguid=")) {
    throw base::InputError(
        file + ": found a fabric as ibnetdiscover prints it, and moeplan imports single nodes",
        "write the fabric's kind, nodes per leaf and uplinks into the cluster file "
        "(docs/formats/cluster.md)");
  }
  if (holds(text, "GPU0")) return read_smi_matrix(text, file);
  throw base::InputError(file + ": no known kind of topology file",
                         "expected `nvidia-smi topo -m`, NCCL's topology XML or `rocm-smi --showtopo`");
}

ClusterDraft import_cluster(const NodeDraft& draft, const std::string& file,
                            const DraftAdditions& additions) {
  check_stated(additions);
  ClusterDraft written = write_cluster_draft(draft, name_of(file), additions);
  const base::Document document = base::parse_yaml(written.text, file);  // what was stated may be no YAML
  if (written.unknown.empty()) read_cluster_spec(document);
  return written;
}

}  // namespace moeplan::topology
