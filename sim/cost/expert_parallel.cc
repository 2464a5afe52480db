#include "sim/cost/expert_parallel.h"

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/object_reader.h"
#include "sim/cost/expert_parallel_reader.h"

namespace moeplan::sim {

namespace {

constexpr std::array<std::string_view, kEpLibraries> kLibraryNames = {
    "deepep", "deepep_low_latency", "hybridep", "nvlink_two_sided", "nvlink_one_sided"};
constexpr std::array<std::string_view, kEpOperations> kOperationNames = {"prepare", "dispatch", "combine",
                                                                         "combine_quantised"};

std::string four(double value) { return fmt::format("{:.4g}", value); }

// Where each constant stands in the file. Absent = zero.
struct TimeField {
  std::string_view key;
  base::Seconds EpConstants::*field;
  double unit_s;
  std::string_view unit;
};
constexpr std::array<TimeField, 7> kTimes = {{{"start", &EpConstants::start, 1e-6, "us"},
                                              {"node_start", &EpConstants::node_start, 1e-6, "us"},
                                              {"expert_start", &EpConstants::expert_start, 1e-9, "ns"},
                                              {"rank_start", &EpConstants::rank_start, 1e-9, "ns"},
                                              {"token", &EpConstants::token, 1e-9, "ns"},
                                              {"copy", &EpConstants::copy, 1e-9, "ns"},
                                              {"scan", &EpConstants::scan, 1e-9, "ns"}}};
struct RateField {
  std::string_view key;
  base::BytesPerSecond EpConstants::*field;
};
constexpr std::array<RateField, 5> kRates = {{{"fill", &EpConstants::fill},
                                              {"send", &EpConstants::send},
                                              {"write", &EpConstants::write},
                                              {"read", &EpConstants::read},
                                              {"relay", &EpConstants::relay}}};
struct ShareField {
  std::string_view key;
  double EpConstants::*field;
};
constexpr std::array<ShareField, 3> kShares = {{{"contention", &EpConstants::contention},
                                                {"crest", &EpConstants::crest},
                                                {"node_crest", &EpConstants::node_crest}}};

void read_shares(base::ObjectReader& at, EpConstants& c) {
  for (const ShareField& f : kShares) {
    c.*f.field = at.value_or<double>(f.key, 0.0);
    if (!(c.*f.field >= 0.0 && c.*f.field <= 10.0)) at.fault(f.key, "expected a share from 0 to 10");
  }
  for (const auto& [key, field] : {std::pair{"nvlink_share", &EpConstants::nvlink_share},
                                   std::pair{"nic_share", &EpConstants::nic_share}}) {
    c.*field = at.value_or<double>(key, 1.0);
    if (!(c.*field > 0.0 && c.*field <= 1.0)) at.fault(key, "expected a share above 0 and up to 1");
  }
  c.low = at.required<double>("low");
  c.high = at.required<double>("high");
  if (at.has("low") && at.has("high") && !(c.low > 0.0 && c.low <= c.high))
    at.fault("low", "expected a band with 0 < low <= high");
}

Evidence read_evidence(base::ObjectReader& at) {
  const std::string word =
      at.one_of("evidence", {"measured", "interpolated", "extrapolated", "assumed"}, std::nullopt);
  for (int i = 0; i < kEvidenceLevels; ++i) {
    if (name(static_cast<Evidence>(i)) == word) return static_cast<Evidence>(i);
  }
  return Evidence::kAssumed;
}

EpConstants read_constants(base::ObjectReader& at) {
  EpConstants c;
  c.evidence = read_evidence(at);
  c.source = at.required<std::string>("source");
  c.default_sms = at.value_or<int>("default_sms", 0);
  if (c.default_sms < 0) at.fault("default_sms", "expected a number of SMs");
  for (const TimeField& f : kTimes) {
    c.*f.field = at.value_or<base::Seconds>(f.key, {});
    if ((c.*f.field).s() < 0.0) at.fault(f.key, "found a negative time, expected zero or more");
  }
  for (const RateField& f : kRates) {
    c.*f.field = at.value_or<base::BytesPerSecond>(f.key, {});
    if ((c.*f.field).bytes_per_s() < 0.0) at.fault(f.key, "found a negative rate, expected zero or more");
  }
  read_shares(at, c);
  return c;
}

}  // namespace

std::string_view name(EpLibrary library) { return kLibraryNames[static_cast<std::size_t>(library)]; }
std::string_view name(EpOperation operation) { return kOperationNames[static_cast<std::size_t>(operation)]; }

std::optional<EpLibrary> parse_ep_library(std::string_view text) {
  for (int i = 0; i < kEpLibraries; ++i) {
    if (name(static_cast<EpLibrary>(i)) == text) return static_cast<EpLibrary>(i);
  }
  return std::nullopt;
}

std::optional<EpOperation> parse_ep_operation(std::string_view text) {
  for (int i = 0; i < kEpOperations; ++i) {
    if (name(static_cast<EpOperation>(i)) == text) return static_cast<EpOperation>(i);
  }
  return std::nullopt;
}

const EpConstants* ExpertParallelTable::find(EpLibrary library, EpOperation operation) const {
  const auto& entry = constants_[static_cast<std::size_t>(library)][static_cast<std::size_t>(operation)];
  return entry ? &*entry : nullptr;
}

void ExpertParallelTable::set(EpLibrary library, EpOperation operation, EpConstants constants) {
  constants_[static_cast<std::size_t>(library)][static_cast<std::size_t>(operation)] = std::move(constants);
}

bool ExpertParallelTable::empty() const {
  for (const auto& library : constants_) {
    for (const auto& entry : library) {
      if (entry) return false;
    }
  }
  return true;
}

ExpertParallelTable read_expert_parallel(base::ObjectReader& profile) {
  ExpertParallelTable table;
  const std::vector<std::string> libraries(kLibraryNames.begin(), kLibraryNames.end());
  const std::vector<std::string> operations(kOperationNames.begin(), kOperationNames.end());
  for (base::ObjectReader at : profile.objects("expert_parallel")) {
    const auto library = parse_ep_library(at.one_of("library", libraries, std::nullopt));
    const auto operation = parse_ep_operation(at.one_of("operation", operations, std::nullopt));
    EpConstants constants = read_constants(at);
    at.finish();
    if (!library || !operation) continue;
    if (table.find(*library, *operation) != nullptr) {
      at.fault("library", fmt::format("{} {} stands twice", name(*library), name(*operation)));
    }
    table.set(*library, *operation, std::move(constants));
  }
  return table;
}

Interference read_interference(base::ObjectReader& profile) {
  Interference interference;
  std::optional<base::ObjectReader> at = profile.optional_object("interference");
  if (!at) return interference;
  interference.evidence = read_evidence(*at);
  interference.source = at->required<std::string>("source");
  interference.nccl_sms = at->required<int>("nccl_sms");
  interference.hbm_touches = at->required<double>("hbm_touches");
  if (interference.nccl_sms < 0) at->fault("nccl_sms", "expected a number of SMs");
  if (!(interference.hbm_touches >= 0.0 && interference.hbm_touches <= 16.0))
    at->fault("hbm_touches", "expected a number from 0 to 16");
  at->finish();
  return interference;
}

std::string write_expert_parallel(const ExpertParallelTable& table) {
  if (table.empty()) return "";
  std::string text = "expert_parallel:\n";
  for (int l = 0; l < kEpLibraries; ++l) {
    for (int o = 0; o < kEpOperations; ++o) {
      const EpConstants* c = table.find(static_cast<EpLibrary>(l), static_cast<EpOperation>(o));
      if (c == nullptr) continue;
      text += fmt::format("  - library: {}\n    operation: {}\n    evidence: {}\n    source: {}\n",
                          name(static_cast<EpLibrary>(l)), name(static_cast<EpOperation>(o)),
                          name(c->evidence), base::json_quote(c->source));
      if (c->default_sms > 0) text += fmt::format("    default_sms: {}\n", c->default_sms);
      for (const TimeField& f : kTimes) {
        const double value = (c->*f.field).s();
        if (value > 0.0) text += fmt::format("    {}: {} {}\n", f.key, four(value / f.unit_s), f.unit);
      }
      for (const RateField& f : kRates) {
        const double value = (c->*f.field).gb_per_s();
        if (value > 0.0) text += fmt::format("    {}: {} GB/s\n", f.key, four(value));
      }
      for (const ShareField& f : kShares) {
        if (c->*f.field > 0.0) text += fmt::format("    {}: {}\n", f.key, four(c->*f.field));
      }
      text += fmt::format("    nvlink_share: {}\n    nic_share: {}\n    low: {}\n    high: {}\n",
                          four(c->nvlink_share), four(c->nic_share), four(c->low), four(c->high));
    }
  }
  return text;
}

}  // namespace moeplan::sim
