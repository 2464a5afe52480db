#include "planner/search/space_file.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "base/quantity_text.h"
#include "planner/search/space.h"

namespace moeplan::planner {

namespace {

using base::Node;
using base::NodeKind;

constexpr int kMaxNumber = 1'000'000;

constexpr std::array kNumberAxes = {std::pair("tp", "tp"),          std::pair("pp", "pp"),
                                    std::pair("vp", "vp"),          std::pair("cp", "cp"),
                                    std::pair("ep", "ep"),          std::pair("etp", "etp"),
                                    std::pair("micro_batch", "mb"), std::pair("chunks", "chunks")};

class SpaceReader {
 public:
  explicit SpaceReader(const base::Document& document) : top_(document, sink_, "space") {
    choices_.file = document.file;
  }

  AxisChoices read() {
    for (const auto& [key, word] : kNumberAxes) read_numbers(key, word);
    read_words("recompute", choices_.recompute, [](std::string_view word) {
      parse_recompute(word);
      return std::string(word);
    });
    read_words("placement", choices_.greedy, [](std::string_view word) {
      return parse_pins(fmt::format("placement={}", word)).placement == "greedy";
    });
    read_words("cp_comm", choices_.cp_comm, parse_context_value);
    read_words("sharding", choices_.sharding, parse_sharding_value);
    read_words("overlap", choices_.overlap, parse_overlap_value);
    read_words("dispatcher", choices_.dispatcher, [](std::string_view word) {
      return *parse_pins(fmt::format("dispatcher={}", word)).dispatcher;
    });
    read_words("schedule", choices_.schedule, parse_schedule_value);
    read_words("stages", choices_.stages, parse_stage_rule);
    if (!choices_.cp_comm.empty()) choices_.open.cp = true;
    top_.finish();
    sink_.throw_if_any();
    return std::move(choices_);
  }

 private:
  void fault(const Node& node, const std::string& key, std::string message, std::string hint = "") {
    sink_.add({choices_.file, node.at, "space > " + key, std::move(message), std::move(hint)});
  }

  /// Marks an axis that is closed by itself.
  void open(std::string_view key) {
    OpenAxes& o = choices_.open;
    for (const auto& [word, member] : {std::pair("cp", &o.cp), std::pair("etp", &o.etp),
                                       std::pair("sharding", &o.sharding), std::pair("overlap", &o.overlap),
                                       std::pair("dispatcher", &o.dispatcher), std::pair("chunks", &o.chunks),
                                       std::pair("schedule", &o.schedule), std::pair("stages", &o.stages)}) {
      if (key == word) *member = true;
    }
  }

  static bool is_open(const Node& node) { return node.kind == NodeKind::kScalar && node.text == "open"; }

  std::optional<int> read_number(const Node& node, const std::string& key) {
    const auto number = node.kind == NodeKind::kScalar ? base::parse_integer(node.text) : std::nullopt;
    if (number && *number >= 1 && *number <= kMaxNumber) return static_cast<int>(*number);
    fault(
        node, key,
        fmt::format("found {}, expected a whole number from 1",
                    node.kind == NodeKind::kScalar ? base::excerpt(node.text) : std::string(name(node.kind))),
        "a number, a list of numbers, {min: 2, max: 16}, or open");
    return std::nullopt;
  }

  void read_numbers(const char* key, const char* word) {
    const Node* node = top_.node(key);
    if (node == nullptr || node->kind == NodeKind::kNull) return;
    open(key);
    if (is_open(*node)) return;
    AxisChoices::Numbers numbers;
    numbers.place = {fmt::format("space > {}", key), node->at};
    if (node->kind == NodeKind::kMap) {
      read_bounds(*node, key, numbers);
    } else if (node->kind == NodeKind::kSequence) {
      if (node->items.empty())
        fault(*node, key, "found an empty list, expected the values of the axis",
              "leave the key out for all of them");
      for (const Node& item : node->items) {
        if (const auto number = read_number(item, key)) numbers.values.push_back(*number);
      }
    } else if (const auto number = read_number(*node, key)) {
      numbers.values.push_back(*number);
    }
    std::sort(numbers.values.begin(), numbers.values.end());
    numbers.values.erase(std::unique(numbers.values.begin(), numbers.values.end()), numbers.values.end());
    choices_.numbers.emplace(word, std::move(numbers));
  }

  void read_bounds(const Node& node, const std::string& key, AxisChoices::Numbers& numbers) {
    for (const base::Member& member : node.members) {
      if (member.key != "min" && member.key != "max") {
        sink_.add({choices_.file, member.at, "space > " + key,
                   fmt::format("unknown key {}", base::excerpt(member.key)),
                   "bounds are {min: 2, max: 16}; either may be left out"});
        continue;
      }
      (member.key == "min" ? numbers.min : numbers.max) = read_number(member.value, key + " > " + member.key);
    }
    if (node.members.empty()) fault(node, key, "found an empty map, expected min, max or both");
    if (numbers.min && numbers.max && *numbers.min > *numbers.max)
      fault(node, key, fmt::format("found min {} above max {}", *numbers.min, *numbers.max));
  }

  template <class Value, class Parse>
  void read_words(const char* key, std::vector<Value>& values, Parse parse) {
    const Node* node = top_.node(key);
    if (node == nullptr || node->kind == NodeKind::kNull) return;
    open(key);
    if (is_open(*node)) return;
    const auto add = [&](const Node& item) {
      if (item.kind != NodeKind::kScalar)
        return fault(item, key, fmt::format("found {}, expected a word", name(item.kind)));
      try {
        values.push_back(parse(item.text));
      } catch (const base::InputError& error) {
        // Messages of the command line begin with its flag.
        const base::Diagnostic& first = error.diagnostics().front();
        const std::size_t found = first.message.find("found ");
        fault(item, key, found == std::string::npos ? first.message : first.message.substr(found),
              first.hint);
      }
    };
    if (node->kind != NodeKind::kSequence) return add(*node);
    if (node->items.empty())
      fault(*node, key, "found an empty list, expected the values of the axis",
            "leave the key out for all of them");
    for (const Node& item : node->items) add(item);
  }

  base::DiagnosticSink sink_;
  AxisChoices choices_;
  base::ObjectReader top_;
};

}  // namespace

AxisChoices read_space_file(const base::Document& document) { return SpaceReader(document).read(); }

}  // namespace moeplan::planner
