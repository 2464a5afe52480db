#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pugixml.hpp>

#include "base/diagnostics.h"
#include "base/quantity_text.h"
#include "topology/gpu_models.h"
#include "topology/topology_text.h"

namespace moeplan::topology {

namespace {

constexpr std::size_t kMaxDevices = 4096;
constexpr int kMaxDepth = 32;

struct XmlGpu {
  std::string bus;
  unsigned device = 0;  ///< PCI device id, 0 unknown
  bool nvidia = false;
  int dev = -1;        ///< CUDA device, -1 unknown
  int capability = 0;  ///< "sm", 0 unknown
  bool has_gpu_element = false;
  std::optional<base::BytesPerSecond> pcie;
  std::vector<int> path;  ///< ids of the elements above: cpu, switches
  int cpu = 0;
  std::vector<std::pair<std::string, int>> to_gpus;  ///< bus id, links
  int to_switch = 0;
};

struct XmlNic {
  std::string name;
  std::optional<base::BytesPerSecond> speed;
  bool efa = false;
  std::vector<int> path;
  int cpu = 0;
};

/// A PCI switch: its port upwards.
struct XmlSwitch {
  std::optional<base::BytesPerSecond> uplink;
  std::vector<std::size_t> gpus;  ///< index in System::gpus, file order
};

struct System {
  std::vector<XmlGpu> gpus;
  std::vector<XmlNic> nics;
  std::map<int, XmlSwitch> switches;  ///< by id of the element
  int without_class = 0;
};

class SystemReader {
 public:
  SystemReader(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}
  System read();

 private:
  [[noreturn]] void refuse(const pugi::xml_node& at, std::string message, std::string hint = "") const;
  base::Position place(std::ptrdiff_t offset) const;
  long number(const pugi::xml_node& node, const char* attribute, long fallback) const;
  std::optional<base::BytesPerSecond> pcie_rate(const pugi::xml_node& pci) const;
  void read_cpu(const pugi::xml_node& cpu);
  void read_pci(const pugi::xml_node& pci, std::vector<int> path);
  void read_gpu(const pugi::xml_node& pci, const std::vector<int>& path);
  void read_nic(const pugi::xml_node& nic, const pugi::xml_node& pci, const std::vector<int>& path);
  void add_nic(XmlNic nic);

  std::string_view text_;
  std::string file_;
  System system_;
  int next_id_ = 0;
  int cpu_ = -1;
};

/// Printable, so that it can stand in a comment.
std::string plain(std::string_view text) {
  std::string out(text.substr(0, 60));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

base::Position SystemReader::place(std::ptrdiff_t offset) const {
  const auto end = std::min(static_cast<std::size_t>(std::max<std::ptrdiff_t>(offset, 0)), text_.size());
  const std::string_view before = text_.substr(0, end);
  const auto line = std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {static_cast<int>(line) + 1, static_cast<int>(end - start) + 1};
}

void SystemReader::refuse(const pugi::xml_node& at, std::string message, std::string hint) const {
  throw base::InputError(
      {base::Diagnostic{file_, place(at.offset_debug()), "", std::move(message), std::move(hint)}});
}

/// A whole number, decimal or hexadecimal; the fallback where the attribute is absent or empty.
long SystemReader::number(const pugi::xml_node& node, const char* attribute, long fallback) const {
  const std::string text = node.attribute(attribute).as_string();
  if (text.empty()) return fallback;
  const bool hexadecimal = text.size() > 2 && text[0] == '0' && text[1] == 'x';
  std::size_t used = 0;
  try {
    const long value = std::stol(text, &used, hexadecimal ? 16 : 10);
    if (used == text.size() && value >= -1 && value < (1L << 40)) return value;
  } catch (const std::exception&) {
    used = 0;  // no number at all: the same fault
  }
  refuse(node, fmt::format("{}=\"{}\" is no whole number", attribute, plain(text)));
}

/// "16 GT/s", "32.0 GT/s PCIe" times the width; lines coded 8b/10b up to 5 GT/s and 128b/130b from 8 GT/s
/// (PCI Express base specification). Nothing where speed or width are not stated.
std::optional<base::BytesPerSecond> SystemReader::pcie_rate(const pugi::xml_node& pci) const {
  const std::string text = pci.attribute("link_speed").as_string();
  const long width = number(pci, "link_width", 0);
  const std::size_t end = text.find_first_not_of("0123456789.");
  const auto rate = base::parse_number(std::string_view(text).substr(0, end));
  if (!rate || width <= 0 || width > 64 || *rate <= 0 || *rate > 1000) return std::nullopt;
  const double coding = *rate < 8.0 ? 0.8 : 128.0 / 130.0;
  return base::BytesPerSecond::from_gbit_per_s(*rate * static_cast<double>(width) * coding);
}

void SystemReader::add_nic(XmlNic nic) {
  if (system_.nics.size() >= kMaxDevices)
    throw base::InputError(fmt::format("{}: more than {} NICs", file_, kMaxDevices));
  system_.nics.push_back(std::move(nic));
}

void SystemReader::read_nic(const pugi::xml_node& nic, const pugi::xml_node& pci,
                            const std::vector<int>& path) {
  const bool efa = pci && number(pci, "vendor", 0) == 0x1d0f;
  bool has_net = false;
  for (const pugi::xml_node& net : nic.children("net")) {
    has_net = true;
    const long speed = number(net, "speed", 0);  // Mb/s
    XmlNic read{plain(net.attribute("name").as_string("net")), std::nullopt, efa, path, cpu_};
    if (speed > 0) read.speed = base::BytesPerSecond::from_gbit_per_s(static_cast<double>(speed) * 1e-3);
    add_nic(std::move(read));
  }
  if (!has_net && pci)
    add_nic({plain(pci.attribute("busid").as_string("NIC")), std::nullopt, efa, path, cpu_});
}

void SystemReader::read_gpu(const pugi::xml_node& pci, const std::vector<int>& path) {
  if (system_.gpus.size() >= kMaxDevices) refuse(pci, fmt::format("more than {} GPUs", kMaxDevices));
  XmlGpu gpu;
  gpu.bus = pci.attribute("busid").as_string();
  gpu.device = static_cast<unsigned>(number(pci, "device", 0));
  gpu.nvidia = number(pci, "vendor", 0) == 0x10de;
  gpu.pcie = pcie_rate(pci);
  gpu.path = path;
  gpu.cpu = cpu_;
  if (const pugi::xml_node element = pci.child("gpu")) {
    gpu.has_gpu_element = true;
    gpu.dev = static_cast<int>(number(element, "dev", -1));
    gpu.capability = static_cast<int>(number(element, "sm", 0));
    for (const pugi::xml_node& link : element.children("nvlink")) {
      const int count = static_cast<int>(number(link, "count", 0));
      if (count < 1 || count > 64)
        refuse(link, fmt::format("found count=\"{}\", expected 1 to 64 NVLinks", count));
      const long target_class = number(link, "tclass", 0);
      if (target_class >> 8 == 0x0302) {
        gpu.to_gpus.emplace_back(link.attribute("target").as_string(), count);
      } else {
        gpu.to_switch += count;  // 0x068000, a bridge: an NVSwitch
      }
    }
  }
  for (auto i = path.rbegin(); i != path.rend(); ++i) {
    const auto found = system_.switches.find(*i);
    if (found == system_.switches.end()) continue;
    found->second.gpus.push_back(system_.gpus.size());
    break;  // the nearest one
  }
  system_.gpus.push_back(std::move(gpu));
}

void SystemReader::read_pci(const pugi::xml_node& pci, std::vector<int> path) {
  if (path.size() > kMaxDepth) refuse(pci, fmt::format("PCI devices more than {} deep", kMaxDepth));
  const int id = next_id_++;
  const std::string text = pci.attribute("class").as_string();
  const long kind = number(pci, "class", 0) >> 8;
  const bool holds_devices = static_cast<bool>(pci.child("pci"));
  if (holds_devices) {
    path.push_back(id);
    system_.switches[id].uplink = pcie_rate(pci);
    for (const pugi::xml_node& child : pci.children("pci")) read_pci(child, path);
    return;
  }
  if (kind == 0x0302 || pci.child("gpu")) {
    read_gpu(pci, path);
  } else if (kind == 0x0200 || kind == 0x0207 || pci.child("nic")) {
    read_nic(pci.child("nic"), pci, path);
  } else if (text.empty()) {
    ++system_.without_class;
  }
}

void SystemReader::read_cpu(const pugi::xml_node& cpu) {
  ++cpu_;
  const std::vector<int> path{next_id_++};
  for (const pugi::xml_node& child : cpu.children()) {
    const std::string name = child.name();
    if (name == "pci") read_pci(child, path);
    if (name == "nic") read_nic(child, pugi::xml_node(), path);
  }
}

System SystemReader::read() {
  pugi::xml_document document;
  const pugi::xml_parse_result result = document.load_buffer(text_.data(), text_.size());
  if (!result) {
    throw base::InputError({base::Diagnostic{file_, place(result.offset), "",
                                             fmt::format("not XML: {}", result.description()), ""}});
  }
  const pugi::xml_node root = document.document_element();
  if (std::string_view(root.name()) == "graphs") {
    refuse(
        root,
        "found a graph dump of NCCL (<graphs>): the rings and trees that it chose, not the links of the node",
        "write the topology itself with NCCL_TOPO_DUMP_FILE");
  }
  if (std::string_view(root.name()) != "system")
    refuse(root, fmt::format("found <{}>, expected <system>", plain(root.name())));
  for (const pugi::xml_node& cpu : root.children("cpu")) read_cpu(cpu);
  if (cpu_ < 0) refuse(root, "found no <cpu> in <system>");
  return std::move(system_);
}

/// In the order of `dev` where all have it, else by bus id; switches keep their numbers.
void sort_gpus(System& system) {
  std::vector<std::size_t> order(system.gpus.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  const bool has_dev =
      std::all_of(system.gpus.begin(), system.gpus.end(), [](const XmlGpu& gpu) { return gpu.dev >= 0; });
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return has_dev ? system.gpus[a].dev < system.gpus[b].dev : system.gpus[a].bus < system.gpus[b].bus;
  });
  std::vector<XmlGpu> sorted;
  std::vector<std::size_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    sorted.push_back(std::move(system.gpus[order[i]]));
  }
  system.gpus = std::move(sorted);
  for (auto& [id, pci_switch] : system.switches) {
    for (std::size_t& gpu : pci_switch.gpus) gpu = place[gpu];
    std::sort(pci_switch.gpus.begin(), pci_switch.gpus.end());
  }
}

void set_gpu_kind(const System& system, NodeDraft& draft) {
  std::set<std::string> labels;
  std::set<int> capabilities;
  for (const XmlGpu& gpu : system.gpus) {
    labels.insert(gpu.nvidia ? find_gpu_label(gpu.device) : "");
    capabilities.insert(gpu.capability);
  }
  if (labels.size() > 1) draft.notes.push_back("the GPUs are of several kinds; moeplan has one kind of node");
  if (labels.size() == 1) draft.gpu = *labels.begin();
  if (capabilities.size() == 1) draft.nvlink_per_link = nvlink_of_capability(*capabilities.begin());
}

void set_mesh(const System& system, NodeDraft& draft) {
  std::map<std::string, int> by_bus;
  for (std::size_t i = 0; i < system.gpus.size(); ++i) by_bus[system.gpus[i].bus] = static_cast<int>(i);
  std::map<std::pair<int, int>, int> links;
  bool leads_nowhere = false;
  for (std::size_t i = 0; i < system.gpus.size(); ++i) {
    for (const auto& [bus, count] : system.gpus[i].to_gpus) {
      const auto other = by_bus.find(bus);
      if (other == by_bus.end() || other->second == static_cast<int>(i)) {
        leads_nowhere = true;
        continue;
      }
      int& known = links[std::minmax(static_cast<int>(i), other->second)];
      known = std::max(known, count);
    }
  }
  if (leads_nowhere)
    draft.notes.emplace_back(
        "NVLinks lead to no other GPU of the file, as virtual machines show them; not used");
  if (links.empty()) {
    draft.nvlink = leads_nowhere ? NodeDraft::Nvlink::kUnknown : NodeDraft::Nvlink::kNone;
    return;
  }
  draft.nvlink = NodeDraft::Nvlink::kMesh;
  for (const auto& [ends, count] : links) draft.pairs.push_back({ends.first, ends.second, count});
}

void set_nvlinks(const System& system, NodeDraft& draft) {
  const auto silent = [](const XmlGpu& gpu) { return !gpu.has_gpu_element; };
  if (std::any_of(system.gpus.begin(), system.gpus.end(), silent)) {
    draft.notes.emplace_back(
        "the file has PCI devices without <gpu>: it does not say whether there is NVLink");
    return;
  }
  std::set<int> to_switch;
  for (const XmlGpu& gpu : system.gpus) to_switch.insert(gpu.to_switch);
  if (to_switch.size() == 1 && *to_switch.begin() > 0) {
    draft.nvlink = NodeDraft::Nvlink::kSwitch;
    draft.switch_links = *to_switch.begin();
  } else if (to_switch.size() > 1) {
    draft.notes.emplace_back("GPUs have different numbers of links to the NVSwitch; not used");
  } else {
    set_mesh(system, draft);
  }
}

void set_pcie(const System& system, NodeDraft& draft) {
  std::set<std::string> rates;
  for (const XmlGpu& gpu : system.gpus) rates.insert(gpu.pcie ? base::format(*gpu.pcie) : "");
  if (rates.size() == 1) {
    draft.pcie = system.gpus.front().pcie;
  } else {
    draft.notes.emplace_back("the PCIe links of the GPUs differ; not used");
  }
}

/// Where all switches that hold GPUs hold as many neighbours and state the same port.
void set_host_link(const System& system, NodeDraft& draft) {
  std::set<std::pair<std::size_t, std::string>> kinds;
  std::size_t held = 0;
  for (const auto& [id, pci_switch] : system.switches) {
    const auto& gpus = pci_switch.gpus;
    if (gpus.empty()) continue;
    if (!pci_switch.uplink || gpus.back() - gpus.front() + 1 != gpus.size() ||
        gpus.front() % gpus.size() != 0)
      return;
    kinds.emplace(gpus.size(), base::format(*pci_switch.uplink));
    held += gpus.size();
    draft.host_link = HostLinkSpec{static_cast<int>(gpus.size()), *pci_switch.uplink};
  }
  if (kinds.size() != 1 || held != system.gpus.size() || kinds.begin()->first < 2) draft.host_link.reset();
}

Nearness nearness_of(const XmlGpu& gpu, const XmlNic& nic) {
  if (gpu.cpu != nic.cpu) return Nearness::kSystem;
  std::size_t common = 0;
  while (common < std::min(gpu.path.size(), nic.path.size()) && gpu.path[common] == nic.path[common])
    ++common;
  if (common <= 1) return Nearness::kHostBridge;
  return common == gpu.path.size() && common == nic.path.size() ? Nearness::kSwitch : Nearness::kSwitches;
}

void set_nics(const System& system, NodeDraft& draft) {
  if (system.nics.empty()) return;
  std::vector<std::vector<Nearness>> nearness(system.gpus.size());
  std::vector<int> numa;
  for (std::size_t gpu = 0; gpu < system.gpus.size(); ++gpu) {
    for (const XmlNic& nic : system.nics) nearness[gpu].push_back(nearness_of(system.gpus[gpu], nic));
    numa.push_back(system.gpus[gpu].cpu);
  }
  std::vector<std::string> names;
  std::set<std::string> speeds;
  for (const XmlNic& nic : system.nics) {
    names.push_back(nic.name);
    speeds.insert(nic.speed ? base::format(*nic.speed) : "");
  }
  draft.nics = assign_nics(nearness, numa, names, draft.notes);
  if (speeds.size() == 1) draft.nics->bandwidth = system.nics.front().speed;
  if (speeds.size() > 1)
    draft.notes.push_back(
        fmt::format("the NICs have different speeds ({}); state one", fmt::join(speeds, ", ")));
  if (std::all_of(system.nics.begin(), system.nics.end(), [](const XmlNic& nic) { return nic.efa; }))
    draft.nics->transport = NicTransport::kEfa;
}

}  // namespace

NodeDraft read_nccl_system(std::string_view text, const std::string& file) {
  System system = SystemReader(text, file).read();
  NodeDraft draft;
  draft.origin = "NCCL's topology XML";
  if (system.without_class > 0) {
    draft.notes.push_back(
        fmt::format("{} PCI devices state no class: which of them are GPUs or NICs, the file does not say",
                    system.without_class));
  }
  if (system.gpus.empty()) {
    if (system.without_class == 0)
      throw base::InputError(fmt::format("{}: found no GPU (PCI class 0x0302)", file));
    draft.nics = std::nullopt;
    return draft;
  }
  sort_gpus(system);
  if (system.without_class == 0) draft.gpus = static_cast<int>(system.gpus.size());
  set_gpu_kind(system, draft);
  set_nvlinks(system, draft);
  set_pcie(system, draft);
  set_host_link(system, draft);
  set_nics(system, draft);
  return draft;
}

}  // namespace moeplan::topology
