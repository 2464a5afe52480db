#include "sim/cost/anchor.h"

#include <fmt/format.h>

#include "base/json_writer.h"
#include "base/quantity_text.h"
#include "sim/cost/profile_data.h"
#include "sim/cost/profile_fields.h"

namespace moeplan::sim {

namespace {

using base::ObjectReader;

/// No clock of a GPU and no network is off by more than this; a log that asks for it is of another run.
constexpr double kLargestFactor = 4.0;
constexpr double kWidestBand = 1.0;

AnchoredConstant read_constant(ObjectReader& section, std::string_view key) {
  ObjectReader at = section.object(key);
  AnchoredConstant constant;
  constant.identified = at.required<bool>("identified");
  constant.factor = read_positive(at, "factor", kLargestFactor);
  constant.low = at.has("low") ? read_positive(at, "low", kLargestFactor) : constant.factor;
  constant.high = at.has("high") ? read_positive(at, "high", kLargestFactor) : constant.factor;
  if (!constant.identified && constant.factor != 1.0)
    at.fault("factor",
             fmt::format("found {} of a constant that is not identified, expected 1", constant.factor));
  at.finish();
  return constant;
}

AnchoredRun read_run(ObjectReader& at) {
  AnchoredRun run;
  run.plan = at.required<std::string>("plan");
  run.digest = at.required<std::string>("digest");
  run.log = at.required<std::string>("log");
  run.measured = at.required<base::Seconds>("measured");
  run.before = at.required<base::Seconds>("before");
  run.after = at.required<base::Seconds>("after");
  run.iterations = at.required<int>("iterations");
  run.spread = at.required<double>("spread");
  at.finish();
  return run;
}

std::string constant_text(const AnchoredConstant& constant) {
  if (!constant.identified) return "{factor: 1, identified: false}";
  return fmt::format("{{factor: {}, low: {}, high: {}, identified: true}}", constant.factor, constant.low,
                     constant.high);
}

}  // namespace

const AnchoredRun* Anchor::find(const std::string& digest) const {
  for (const AnchoredRun& run : runs) {
    if (run.digest == digest) return &run;
  }
  return nullptr;
}

LinkTable scale_rates(LinkTable table, double factor) {
  if (factor == 1.0) return table;
  for (CommEfficiency& collective : table.collectives) collective.bandwidth_fraction *= factor;
  if (!table.nccl) return table;
  NcclCost& cost = *table.nccl;
  for (NcclProtocolCost& protocol : cost.protocols) protocol.share *= factor;
  cost.channel_rate = cost.channel_rate * factor;
  cost.copy_rate = cost.copy_rate * factor;
  cost.connection_share *= factor;
  return table;
}

ExpertParallelTable scale_rates(const ExpertParallelTable& table, double factor) {
  if (factor == 1.0) return table;
  ExpertParallelTable scaled;
  for (int l = 0; l < kEpLibraries; ++l) {
    for (int o = 0; o < kEpOperations; ++o) {
      const auto library = static_cast<EpLibrary>(l);
      const auto operation = static_cast<EpOperation>(o);
      const EpConstants* stated = table.find(library, operation);
      if (stated == nullptr) continue;
      EpConstants constants = *stated;
      for (base::BytesPerSecond* rate :
           {&constants.fill, &constants.send, &constants.write, &constants.read, &constants.relay})
        *rate = *rate * factor;
      constants.token = constants.token / factor;
      constants.copy = constants.copy / factor;
      constants.nvlink_share *= factor;
      constants.nic_share *= factor;
      scaled.set(library, operation, std::move(constants));
    }
  }
  return scaled;
}

std::optional<Anchor> read_anchor(ObjectReader& profile) {
  std::optional<ObjectReader> at = profile.optional_object("anchor");
  if (!at) return std::nullopt;
  Anchor anchor;
  anchor.model = at->required<std::string>("model");
  anchor.compute_rate = read_constant(*at, "compute_rate");
  anchor.link_rate = read_constant(*at, "link_rate");
  ObjectReader band = at->object("band");
  anchor.repeat = read_positive(band, "repeat", kWidestBand);
  anchor.transfer = read_positive(band, "transfer", kWidestBand);
  band.finish();
  for (ObjectReader run : at->objects("runs")) anchor.runs.push_back(read_run(run));
  if (anchor.runs.empty()) at->fault("runs", "found no run, expected at least one that was measured");
  at->finish();
  return anchor;
}

std::string write_anchor(const Anchor& anchor) {
  std::string text = "anchor:\n";
  text += fmt::format("  model: {}\n", base::json_quote(anchor.model));
  text += fmt::format("  compute_rate: {}\n", constant_text(anchor.compute_rate));
  text += fmt::format("  link_rate: {}\n", constant_text(anchor.link_rate));
  text += fmt::format("  band: {{repeat: {}, transfer: {}}}\n", anchor.repeat, anchor.transfer);
  text += "  runs:\n";
  for (const AnchoredRun& run : anchor.runs) {
    text += fmt::format("    - plan: {}\n", base::json_quote(run.plan));
    text += fmt::format("      digest: {}\n", base::json_quote(run.digest));
    text += fmt::format("      log: {}\n", base::json_quote(run.log));
    text += fmt::format("      measured: {}\n", base::format(run.measured));
    text += fmt::format("      before: {}\n", base::format(run.before));
    text += fmt::format("      after: {}\n", base::format(run.after));
    text += fmt::format("      iterations: {}\n", run.iterations);
    text += fmt::format("      spread: {}\n", run.spread);
  }
  return text;
}

std::string describe(const Anchor& anchor) {
  std::string text;
  const auto constant = [](std::string_view what, const AnchoredConstant& c) {
    return c.identified ? fmt::format("  {} {:.3f} ({:.3f} to {:.3f})\n", what, c.factor, c.low, c.high)
                        : fmt::format("  {} 1, not identified\n", what);
  };
  text += constant("compute rate", anchor.compute_rate) + constant("link rate", anchor.link_rate);
  for (const AnchoredRun& run : anchor.runs) {
    text +=
        fmt::format("  {}: measured {}, predicted {} before, {} anchored ({})\n", run.plan,
                    base::pretty(run.measured), base::pretty(run.before), base::pretty(run.after), run.log);
  }
  return text;
}

}  // namespace moeplan::sim
