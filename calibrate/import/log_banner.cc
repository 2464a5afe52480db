#include "calibrate/import/log_banner.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "base/document.h"
#include "base/quantity_text.h"

namespace moeplan::calibrate {

namespace {

constexpr std::string_view kLibrary = "nccl-library=";

/// Ranks and GPU of each host, as they come.
class Ranks {
 public:
  void add(std::string_view host, std::string_view gpu) {
    ++of_host_[std::string(host)];
    if (gpu_.empty()) gpu_ = gpu;
    mixed_ = mixed_ || gpu_ != gpu;
  }
  void tell(LogBanner& banner) const {
    if (of_host_.empty()) return;
    banner.gpu = gpu_;
    const auto [least, most] = std::minmax_element(
        of_host_.begin(), of_host_.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    if (least->second != most->second) {
      banner.fault = fmt::format("found {} ranks on {} and {} on {}, expected as many on every node",
                                 least->second, least->first, most->second, most->first);
      return;
    }
    if (mixed_) banner.fault = "found GPUs of two kinds among its ranks, expected one";
    banner.nodes = static_cast<int>(of_host_.size());
    banner.gpus_per_node = most->second;
  }

 private:
  std::map<std::string, int> of_host_;
  std::string gpu_;
  bool mixed_ = false;
};

std::string_view trim(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

/// "... Pid 123 on HOST device 0 [0000:04:00] GPU"
void read_rank_line(std::string_view line, Ranks& ranks) {
  const std::size_t on = line.find(" on "), device = line.find(" device ");
  const std::size_t end = line.find(']');
  if (line.find("Pid ") == std::string_view::npos || on == std::string_view::npos ||
      device == std::string_view::npos || end == std::string_view::npos || on > device || device > end)
    return;
  ranks.add(trim(line.substr(on + 4, device - on - 4)), trim(line.substr(end + 1)));
}

LogBanner read_text(std::string_view text) {
  LogBanner banner;
  Ranks ranks;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() != '#') continue;
    if (line.find(" Rank ") != std::string_view::npos) read_rank_line(line, ranks);
    const std::size_t at = line.find(kLibrary);
    if (at == std::string_view::npos) continue;
    const std::string_view word = trim(line.substr(at + kLibrary.size()));
    const auto code = base::parse_integer(word.substr(0, word.find(' ')));
    if (code && *code > 0 && *code < 10'000'000) banner.software = nccl_version_text(static_cast<int>(*code));
  }
  ranks.tell(banner);
  return banner;
}

LogBanner read_json(std::string_view text, const std::string& file) {
  LogBanner banner;
  const base::Document document = base::parse_json(text, file);
  if (document.root.kind != base::NodeKind::kMap) return banner;
  if (const base::Node* version = document.root.find("nccl_version")) {
    const auto code = base::parse_integer(version->text);
    if (code && *code > 0 && *code < 10'000'000) banner.software = nccl_version_text(static_cast<int>(*code));
  }
  const base::Node* config = document.root.find("config");
  const base::Node* devices = document.root.find("devices");
  if (devices == nullptr && config != nullptr && config->kind == base::NodeKind::kMap)
    devices = config->find("devices");
  if (devices == nullptr) return banner;
  Ranks ranks;
  for (const base::Node& device : devices->items) {
    if (device.kind != base::NodeKind::kMap) continue;
    const base::Node* host = device.find("hostname");
    const base::Node* gpu = device.find("device_info");
    if (host != nullptr && gpu != nullptr) ranks.add(host->text, gpu->text);
  }
  ranks.tell(banner);
  return banner;
}

}  // namespace

std::string nccl_version_text(int code) {
  // Two digits for the minor number from 2.9 on (ncclGetVersion).
  const int major = code < 10'000 ? 1'000 : 10'000;
  return fmt::format("NCCL {}.{}.{}", code / major, code % major / 100, code % 100);
}

LogBanner read_log_banner(std::string_view text, const std::string& file) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && (text[first] == '{' || text[first] == '[');
  return json ? read_json(text, file) : read_text(text);
}

}  // namespace moeplan::calibrate
