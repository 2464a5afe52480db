#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "topology/topology_text.h"

namespace moeplan::topology {

namespace {

constexpr std::size_t kMaxDevices = 512;
/// No GPU up to Blackwell has more NVLinks (NVIDIA, Blackwell architecture, 2024).
constexpr int kMostLinks = 18;

/// A line split at blanks, with its number.
struct Row {
  int line = 0;
  std::vector<std::string> words;
};

/// Without colour codes (ESC [ ... letter).
std::string strip_colours(std::string_view text) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b' && i + 1 < text.size() && text[i + 1] == '[') {
      i += 2;
      while (i < text.size() && (text[i] < '@' || text[i] > '~')) ++i;
      continue;
    }
    plain += text[i];
  }
  return plain;
}

std::vector<Row> split_rows(const std::string& text) {
  std::vector<Row> rows;
  Row row{1, {}};
  std::string word;
  const auto end_word = [&] {
    if (!word.empty()) row.words.push_back(std::move(word));
    word.clear();
  };
  for (const char c : text) {
    if (c == '\n') {
      end_word();
      rows.push_back(std::move(row));
      row = Row{static_cast<int>(rows.size()) + 1, {}};
    } else if (c == ' ' || c == '\t' || c == '\r') {
      end_word();
    } else {
      word += c > ' ' && c < '\x7f' ? c : '?';
    }
  }
  end_word();
  rows.push_back(std::move(row));
  return rows;
}

[[noreturn]] void refuse(const std::string& file, int line, std::string message, std::string hint = "") {
  throw base::InputError({base::Diagnostic{file, {line, 1}, "", std::move(message), std::move(hint)}});
}

/// The number behind a prefix: "GPU12" -> 12; nothing where it is not one.
std::optional<int> number_after(const std::string& word, std::string_view prefix) {
  if (word.size() <= prefix.size() || word.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
  const auto value = base::parse_integer(std::string_view(word).substr(prefix.size()));
  if (!value || *value < 0 || *value > 100'000) return std::nullopt;
  return static_cast<int>(*value);
}

bool is_gpu(const std::string& word) { return number_after(word, "GPU").has_value(); }

Nearness nearness_of(const std::string& word) {
  static const std::map<std::string, Nearness> kWords{
      {"PIX", Nearness::kSwitch},    {"PXB", Nearness::kSwitches}, {"PHB", Nearness::kHostBridge},
      {"NODE", Nearness::kNumaNode}, {"SYS", Nearness::kSystem},   {"SOC", Nearness::kSystem}};
  const auto found = kWords.find(word);
  return found == kWords.end() ? Nearness::kUnknown : found->second;
}

/// The matrix as printed: cells [row device][column device], empty where there is no such row.
struct Matrix {
  std::vector<std::string> devices;  ///< of the columns
  std::size_t gpus = 0;              ///< the first of them
  std::vector<std::vector<std::string>> cells;
  std::vector<int> numa;  ///< [gpu], -1 unknown
};

bool is_cell(const std::string& word) {
  return word == "X" || nearness_of(word) != Nearness::kUnknown || number_after(word, "NV").has_value();
}

/// The header: device names up to "CPU Affinity".
Matrix read_header(const Row& row, const std::string& file) {
  Matrix matrix;
  for (const std::string& word : row.words) {
    if (word == "CPU" || word == "NUMA" || word == "Affinity") break;
    if (std::find(matrix.devices.begin(), matrix.devices.end(), word) != matrix.devices.end())
      refuse(file, row.line, fmt::format("the column {} is there twice", word));
    if (is_gpu(word)) {
      if (matrix.gpus != matrix.devices.size())
        refuse(file, row.line, "a GPU stands behind a NIC in the header");
      ++matrix.gpus;
    }
    matrix.devices.push_back(word);
  }
  if (matrix.devices.size() > kMaxDevices)
    refuse(file, row.line,
           fmt::format("found {} devices, expected at most {}", matrix.devices.size(), kMaxDevices));
  matrix.cells.resize(matrix.devices.size());
  matrix.numa.assign(matrix.gpus, -1);
  return matrix;
}

/// The NUMA node behind the cells: "0-47,96-143  0  N/A".
int numa_of(const Row& row, std::size_t cells) {
  if (row.words.size() < cells + 3) return -1;
  const auto value = base::parse_integer(row.words[cells + 2]);
  return value && *value >= 0 && *value < 1024 ? static_cast<int>(*value) : -1;
}

Matrix read_matrix(const std::vector<Row>& rows, const std::string& file) {
  std::size_t at = 0;
  while (at < rows.size() && (rows[at].words.empty() || !is_gpu(rows[at].words[0]))) ++at;
  if (at == rows.size()) refuse(file, 0, "found no line of column names (GPU0 GPU1 ...)");
  const bool has_numa =
      std::find(rows[at].words.begin(), rows[at].words.end(), "NUMA") != rows[at].words.end();
  Matrix matrix = read_header(rows[at], file);
  const std::size_t columns = matrix.devices.size();
  for (++at; at < rows.size(); ++at) {
    const Row& row = rows[at];
    if (row.words.empty()) continue;
    const auto device = std::find(matrix.devices.begin(), matrix.devices.end(), row.words[0]);
    if (device == matrix.devices.end() || row.words.size() < 2 || !is_cell(row.words[1]))
      break;  // the legend
    const auto index = static_cast<std::size_t>(device - matrix.devices.begin());
    if (!matrix.cells[index].empty())
      refuse(file, row.line, fmt::format("the row {} is there twice", row.words[0]));
    for (std::size_t column = 0; column < columns; ++column) {
      const std::string word = column + 1 < row.words.size() ? row.words[column + 1] : "";
      if (!is_cell(word))
        refuse(file, row.line,
               fmt::format("row {}, column {}: found {}, expected X, NV#, PIX, PXB, PHB, NODE or SYS",
                           row.words[0], matrix.devices[column], base::excerpt(word)));
      if ((word == "X") != (column == index))
        refuse(file, row.line,
               fmt::format("row {}, column {}: X belongs on the diagonal", row.words[0],
                           matrix.devices[column]));
      matrix.cells[index].push_back(word);
    }
    if (index < matrix.gpus && has_numa) matrix.numa[index] = numa_of(row, columns);
  }
  if (std::all_of(matrix.cells.begin(), matrix.cells.end(), [](const auto& row) { return row.empty(); }))
    refuse(file, 0, "found column names and no row below them");
  return matrix;
}

/// Links between two GPUs by both rows; checks that they agree. -1: neither row is there.
int links_of(const Matrix& m, std::size_t a, std::size_t b, const std::string& file) {
  const auto one_way = [&](std::size_t from, std::size_t to) {
    if (m.cells[from].empty()) return -1;
    return number_after(m.cells[from][to], "NV").value_or(0);
  };
  const int there = one_way(a, b);
  const int back = one_way(b, a);
  if (there >= 0 && back >= 0 && there != back)
    refuse(file, 0,
           fmt::format("{} and {}: {} in one row, {} in the other", m.devices[a], m.devices[b], m.cells[a][b],
                       m.cells[b][a]));
  return std::max(there, back);
}

void set_nvlinks(const Matrix& m, const std::string& file, NodeDraft& draft) {
  std::vector<NvlinkSpec::Pair> pairs;
  std::vector<int> open;  // index of pairs whose links no row tells
  int least = 1 << 30;
  int most = 0;
  for (std::size_t a = 0; a < m.gpus; ++a) {
    for (std::size_t b = a + 1; b < m.gpus; ++b) {
      const int links = links_of(m, a, b, file);
      if (links < 0) {
        open.push_back(static_cast<int>(pairs.size()));
      } else {
        least = std::min(least, links);
        most = std::max(most, links);
      }
      pairs.push_back({static_cast<int>(a), static_cast<int>(b), links});
    }
  }
  if (pairs.empty()) {
    draft.nvlink = NodeDraft::Nvlink::kNone;
    return;
  }
  if (!open.empty() && least != most) {
    draft.nvlink = NodeDraft::Nvlink::kUnknown;
    draft.notes.push_back("the NVLinks between GPUs whose rows are missing cannot be told from the others");
    return;
  }
  for (const int index : open) pairs[static_cast<std::size_t>(index)].bricks = most;
  if (most == 0) {
    draft.nvlink = NodeDraft::Nvlink::kNone;
    return;
  }
  const int others = static_cast<int>(m.gpus) - 1;
  if (least == most && most * others > kMostLinks) {
    draft.nvlink = NodeDraft::Nvlink::kSwitch;
    draft.switch_links = most;
    return;
  }
  draft.nvlink = NodeDraft::Nvlink::kMesh;
  std::copy_if(pairs.begin(), pairs.end(), std::back_inserter(draft.pairs),
               [](const NvlinkSpec::Pair& pair) { return pair.bricks > 0; });
}

/// How near a NIC is to a GPU, by the GPU's row or else by the NIC's.
Nearness nearness_in(const Matrix& m, std::size_t gpu, std::size_t nic) {
  if (!m.cells[gpu].empty()) return nearness_of(m.cells[gpu][nic]);
  if (!m.cells[nic].empty()) return nearness_of(m.cells[nic][gpu]);
  return Nearness::kUnknown;
}

void set_nics(const Matrix& m, NodeDraft& draft) {
  if (m.devices.size() == m.gpus) return;
  std::vector<std::vector<Nearness>> nearness(m.gpus);
  for (std::size_t gpu = 0; gpu < m.gpus; ++gpu) {
    for (std::size_t nic = m.gpus; nic < m.devices.size(); ++nic)
      nearness[gpu].push_back(nearness_in(m, gpu, nic));
  }
  const std::vector<std::string> names(m.devices.begin() + static_cast<std::ptrdiff_t>(m.gpus),
                                       m.devices.end());
  draft.nics = assign_nics(nearness, m.numa, names, draft.notes);
}

void note_missing(const Matrix& m, NodeDraft& draft) {
  std::vector<std::string> gpus;
  std::size_t nics = 0;
  for (std::size_t i = 0; i < m.devices.size(); ++i) {
    if (!m.cells[i].empty()) continue;
    if (i < m.gpus) {
      gpus.push_back(m.devices[i]);
    } else {
      ++nics;
    }
  }
  if (!gpus.empty())
    draft.notes.push_back(
        fmt::format("the rows of {} are missing; completed by symmetry", fmt::join(gpus, ", ")));
  if (nics > 0)
    draft.notes.push_back(fmt::format("{} rows of NICs are missing; read from the rows of the GPUs", nics));
}

}  // namespace

NodeDraft read_smi_matrix(std::string_view text, const std::string& file) {
  const Matrix matrix = read_matrix(split_rows(strip_colours(text)), file);
  NodeDraft draft;
  draft.origin = "nvidia-smi topo -m";
  draft.gpus = static_cast<int>(matrix.gpus);
  note_missing(matrix, draft);
  set_nvlinks(matrix, file, draft);
  set_nics(matrix, draft);
  return draft;
}

NodeDraft read_rocm_topology(std::string_view text, const std::string& file) {
  const std::vector<Row> rows = split_rows(strip_colours(text));
  const std::vector<std::string> title{"Link", "Type"};
  const auto is_title = [&](const Row& row) {
    return std::search(row.words.begin(), row.words.end(), title.begin(), title.end()) != row.words.end();
  };
  auto at = std::find_if(rows.begin(), rows.end(), is_title);
  if (at == rows.end()) refuse(file, 0, "found no table \"Link Type between two GPUs\"");
  ++at;
  while (at != rows.end() && at->words.empty()) ++at;
  if (at == rows.end() || !is_gpu(at->words[0]))
    refuse(file, at == rows.end() ? 0 : at->line, "expected GPU0 GPU1 ...");
  const std::vector<std::string> names = at->words;
  if (names.size() > kMaxDevices)
    refuse(file, at->line, fmt::format("found {} GPUs, expected at most {}", names.size(), kMaxDevices));
  NodeDraft draft;
  draft.origin = "rocm-smi --showtopo";
  draft.gpus = static_cast<int>(names.size());
  draft.nvlink = NodeDraft::Nvlink::kMesh;
  for (std::size_t a = 0; a < names.size(); ++a) {
    ++at;
    if (at == rows.end() || at->words.size() != names.size() + 1 || at->words[0] != names[a])
      refuse(file, at == rows.end() ? 0 : at->line,
             fmt::format("expected a row {} of {} cells", names[a], names.size()));
    for (std::size_t b = a + 1; b < names.size(); ++b) {
      const std::string& word = at->words[b + 1];
      if (word == "XGMI") {
        draft.pairs.push_back({static_cast<int>(a), static_cast<int>(b), 1});
      } else if (word != "PCIE") {
        refuse(file, at->line,
               fmt::format("row {}, column {}: found {}, expected XGMI or PCIE", names[a], names[b],
                           base::excerpt(word)));
      }
    }
  }
  if (draft.pairs.empty()) draft.nvlink = NodeDraft::Nvlink::kNone;
  draft.notes.emplace_back("XGMI links are written as nvlink: a mesh of links between GPUs");
  return draft;
}

}  // namespace moeplan::topology
