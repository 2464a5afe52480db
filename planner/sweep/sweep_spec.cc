#include "planner/sweep/sweep_spec.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/diagnostics.h"
#include "base/object_reader.h"
#include "planner/sweep/figures.h"

namespace moeplan::sweep {

namespace {

using base::Node;
using base::NodeKind;

constexpr std::array<std::string_view, kInputs> kInputNames = {"cluster", "model", "run",    "load",
                                                               "profile", "plan",  "options"};

/// Reads one sweep file; every fault goes to the sink with its place.
class SpecReader {
 public:
  explicit SpecReader(const base::Document& document) : document_(document) { spec_.file = document.file; }

  SweepSpec read() {
    base::ObjectReader top(document_, sink_, "sweep");
    spec_.name = top.required<std::string>("name");
    spec_.verb = top.one_of("verb", {"simulate", "plan"}) == "plan" ? Verb::kPlan : Verb::kSimulate;
    read_inputs(top);
    read_options(top);
    read_axes(top.node("axes"));
    if (!top.has("axes")) top.fault("axes", "key \"axes\" is missing, expected the dimensions of the grid");
    check_inputs(top);
    read_exclusions(top.node("exclude"));
    read_figures(top);
    top.finish();
    sink_.throw_if_any();
    return std::move(spec_);
  }

 private:
  void fault(base::Position at, const std::string& path, std::string message, std::string hint = "") {
    sink_.add({spec_.file, at, "sweep > " + path, std::move(message), std::move(hint)});
  }

  void read_inputs(base::ObjectReader& top) {
    auto reader = top.optional_object("base");
    if (!reader) return;
    for (std::size_t i = 0; i + 1 < kInputs; ++i) {
      if (auto text = reader->optional<std::string>(kInputNames[i]))
        spec_.inputs[i] = NamedInput{*std::move(text), reader->place(kInputNames[i]).at};
    }
    reader->finish();
  }

  void read_options(base::ObjectReader& top) {
    spec_.options.kind = NodeKind::kMap;
    spec_.options.at = document_.root.at;
    const Node* options = top.node("options");
    if (options == nullptr || options->kind == NodeKind::kNull) return;
    if (options->kind == NodeKind::kMap) {
      spec_.options = *options;
    } else {
      fault(options->at, "options", fmt::format("found {}, expected a map", name(options->kind)));
    }
  }

  void read_axes(const Node* axes) {
    if (axes == nullptr) return;
    if (axes->kind != NodeKind::kSequence || axes->items.empty()) {
      fault(axes->at, "axes", fmt::format("found {}, expected a list of axes", shown(*axes)),
            "write \"- cluster.nodes: [4, 8]\", a line an axis");
      return;
    }
    for (std::size_t i = 0; i < axes->items.size(); ++i) {
      const Node& item = axes->items[i];
      const std::string path = fmt::format("axes[{}]", i);
      if (item.kind != NodeKind::kMap || item.members.empty()) {
        fault(item.at, path, fmt::format("found {}, expected an axis and its values", shown(item)),
              "write \"- cluster.nodes: [4, 8]\"");
        continue;
      }
      read_group(item, path);
    }
  }

  static std::string shown(const Node& node) {
    if (node.kind == NodeKind::kScalar) return base::excerpt(node.text);
    if (node.kind == NodeKind::kSequence && node.items.empty()) return "an empty list";
    if (node.kind == NodeKind::kMap && node.members.empty()) return "an empty map";
    return std::string(name(node.kind));
  }

  /// The axes of one item step together. They are sorted, so that the order of a map's keys decides nothing.
  void read_group(const Node& item, const std::string& path) {
    std::vector<const base::Member*> members;
    for (const base::Member& member : item.members) members.push_back(&member);
    std::sort(members.begin(), members.end(),
              [](const base::Member* a, const base::Member* b) { return a->key < b->key; });
    std::vector<Axis> axes;
    for (const base::Member* member : members) {
      if (auto axis = read_axis(*member, path)) axes.push_back(*std::move(axis));
    }
    for (const Axis& axis : axes) {
      if (axis.values.size() != axes.front().values.size())
        fault(axis.at, path,
              fmt::format("{} has {} values and {} has {}, expected as many: they step together", axis.path,
                          axis.values.size(), axes.front().path, axes.front().values.size()),
              "axes that are combined freely are items of their own, each with its dash");
    }
    if (axes.empty()) return;
    for (Axis& axis : axes) {
      axis.group = spec_.group_sizes.size();
      spec_.axes.push_back(std::move(axis));
    }
    spec_.group_sizes.push_back(spec_.axes.back().values.size());
  }

  std::optional<Axis> read_axis(const base::Member& member, const std::string& parent) {
    const std::string path = fmt::format("{} > {}", parent, member.key);
    const auto steps = base::parse_node_path(member.key);
    const std::string first = steps ? steps->front().key : "";
    const auto known = std::find(kInputNames.begin(), kInputNames.end(), first);
    if (!steps || known == kInputNames.end()) {
      const std::string near = base::nearest_word(first, {kInputNames.begin(), kInputNames.end()});
      fault(member.at, path,
            fmt::format("found {}, expected an input or a path into one", base::excerpt(member.key)),
            near.empty() ? fmt::format("inputs are {}", fmt::join(kInputNames, ", "))
                         : fmt::format("did you mean \"{}{}\"?", near, member.key.substr(first.size())));
      return std::nullopt;
    }
    Axis axis;
    axis.path = member.key;
    axis.at = member.at;
    axis.input = static_cast<Input>(known - kInputNames.begin());
    axis.steps.assign(steps->begin() + 1, steps->end());
    if (!check_axis(axis, path)) return std::nullopt;
    if (member.value.kind != NodeKind::kSequence || member.value.items.empty()) {
      fault(member.value.at, path, fmt::format("found {}, expected a list of values", shown(member.value)),
            fmt::format("write \"{}: [...]\"", member.key));
      return std::nullopt;
    }
    for (const Node& value : member.value.items) read_value(value, path, axis);
    return axis;
  }

  bool check_axis(const Axis& axis, const std::string& path) {
    const std::size_t before = sink_.size();
    for (const Axis& other : spec_.axes) {
      if (other.path == axis.path)
        fault(axis.at, path, "the axis stands twice", "put its values into one list");
    }
    if (axis.input == Input::kOptions && (axis.steps.size() != 1 || axis.steps.front().item >= 0))
      fault(axis.at, path, "found no option, expected one of the options", "write \"options.seed\"");
    if (axis.input == Input::kLoad && !axis.steps.empty())
      fault(axis.at, path, "a load has no keys, expected \"load\" alone", "list loads: [uniform, zipf:1.0]");
    return sink_.size() == before;
  }

  void read_value(const Node& value, const std::string& path, Axis& axis) {
    if (axis.is_whole_input() && value.kind != NodeKind::kScalar) {
      fault(value.at, path,
            fmt::format("found {}, expected the name of a {}", shown(value), name(axis.input)));
      return;
    }
    std::string label = base::flow_text(value);
    if (std::any_of(axis.values.begin(), axis.values.end(),
                    [&](const AxisValue& v) { return v.label == label; })) {
      fault(value.at, path, fmt::format("the value {} stands twice", base::excerpt(label)),
            "keep one of the two");
      return;
    }
    axis.values.push_back({value, std::move(label)});
  }

  bool is_axis(Input input) const {
    return std::any_of(spec_.axes.begin(), spec_.axes.end(),
                       [&](const Axis& a) { return a.input == input && a.is_whole_input(); });
  }

  /// Each input comes from one place: `base` or an axis.
  void check_inputs(base::ObjectReader& top) {
    if (!spec_.inputs[index(Input::kLoad)] && !is_axis(Input::kLoad))
      spec_.inputs[index(Input::kLoad)] = NamedInput{"uniform", document_.root.at};
    const bool plans = spec_.verb == Verb::kPlan;
    for (const Input input :
         {Input::kCluster, Input::kModel, Input::kRun, Input::kLoad, Input::kProfile, Input::kPlan}) {
      const bool named = spec_.inputs[index(input)].has_value();
      if (named && is_axis(input))
        fault(spec_.inputs[index(input)]->at, fmt::format("base > {}", name(input)),
              fmt::format("{} stands in base and among the axes, expected one of them", name(input)));
      const bool optional = input == Input::kProfile || (input == Input::kPlan && plans);
      if (!named && !is_axis(input) && !optional)
        top.fault("base", fmt::format("found no {}, expected one in base or among the axes", name(input)),
                  fmt::format("write \"base: {{{}: ...}}\"", name(input)));
    }
    if (!plans) return;
    if (const auto& plan = spec_.inputs[index(Input::kPlan)])
      fault(plan->at, "base > plan", "verb plan searches plans, expected none",
            "\"verb: simulate\" takes a plan");
    for (const Axis& axis : spec_.axes) {
      if (axis.input == Input::kPlan)
        fault(axis.at, "axes", fmt::format("verb plan searches plans, found the axis {}", axis.path),
              "pin an axis of the search instead: \"options.pin: [tp=1, tp=2]\"");
    }
  }

  void read_exclusions(const Node* list) {
    if (list == nullptr || list->kind == NodeKind::kNull) return;
    if (list->kind != NodeKind::kSequence) {
      fault(list->at, "exclude", fmt::format("found {}, expected a list of maps", shown(*list)),
            "write \"- {cluster.nodes: 8, load: uniform}\"");
      return;
    }
    for (std::size_t i = 0; i < list->items.size(); ++i) {
      const Node& item = list->items[i];
      const std::string path = fmt::format("exclude[{}]", i);
      if (item.kind != NodeKind::kMap || item.members.empty()) {
        fault(item.at, path, fmt::format("found {}, expected a map of axes and values", shown(item)));
        continue;
      }
      Exclusion exclusion;
      for (const base::Member& member : item.members) {
        if (auto match = read_match(member, path)) exclusion.matches.push_back(*std::move(match));
      }
      spec_.exclusions.push_back(std::move(exclusion));
    }
  }

  /// A list stands for any of its items, unless an axis has that very list as a value.
  std::optional<Exclusion::Match> read_match(const base::Member& member, const std::string& parent) {
    const std::string path = fmt::format("{} > {}", parent, member.key);
    const auto axis = std::find_if(spec_.axes.begin(), spec_.axes.end(),
                                   [&](const Axis& a) { return a.path == member.key; });
    if (axis == spec_.axes.end()) {
      std::vector<std::string> names;
      for (const Axis& a : spec_.axes) names.push_back(a.path);
      const std::string near = base::nearest_word(member.key, names);
      fault(member.at, path, fmt::format("found {}, expected an axis", base::excerpt(member.key)),
            near.empty() ? fmt::format("axes are {}", fmt::join(names, ", "))
                         : fmt::format("did you mean \"{}\"?", near));
      return std::nullopt;
    }
    Exclusion::Match match;
    match.axis = static_cast<std::size_t>(axis - spec_.axes.begin());
    if (const auto value = find_value(*axis, member.value)) {
      match.values.push_back(*value);
      return match;
    }
    const bool is_list = member.value.kind == NodeKind::kSequence;
    const std::vector<Node> alternatives = is_list ? member.value.items : std::vector<Node>{member.value};
    for (const Node& alternative : alternatives) {
      if (const auto value = find_value(*axis, alternative)) {
        match.values.push_back(*value);
        continue;
      }
      std::vector<std::string> labels;
      for (const AxisValue& value : axis->values) labels.push_back(value.label);
      if (labels.size() > 12) labels.resize(12);
      fault(
          alternative.at, path,
          fmt::format("found {}, expected a value of the axis", base::excerpt(base::flow_text(alternative))),
          fmt::format("values are {}", fmt::join(labels, ", ")));
    }
    return match;
  }

  static std::optional<std::size_t> find_value(const Axis& axis, const Node& node) {
    const std::string label = base::flow_text(node);
    for (std::size_t i = 0; i < axis.values.size(); ++i) {
      if (axis.values[i].label == label) return i;
    }
    return std::nullopt;
  }

  void read_figures(base::ObjectReader& top) {
    const Node* list = top.node("figures");
    std::set<std::string> wanted;
    if (list != nullptr && list->kind != NodeKind::kSequence && list->kind != NodeKind::kNull) {
      fault(list->at, "figures", fmt::format("found {}, expected a list", shown(*list)));
    }
    const bool all = list == nullptr || list->kind == NodeKind::kNull;
    if (!all) {
      for (const Node& item : list->items) read_figure(item, wanted);
      if (wanted.empty() && sink_.empty())
        fault(list->at, "figures", "found an empty list, expected figures");
    }
    for (const Figure& figure : all_figures()) {
      if (figure.of_plan_only && spec_.verb != Verb::kPlan) continue;
      if (all || wanted.contains(figure.name)) spec_.figures.emplace_back(figure.name);
    }
  }

  void read_figure(const Node& item, std::set<std::string>& wanted) {
    const Figure* figure = item.kind == NodeKind::kScalar ? find_figure(item.text) : nullptr;
    if (figure == nullptr) {
      const std::string near = base::nearest_word(item.text, figure_names());
      fault(item.at, "figures", fmt::format("found {}, expected a figure", shown(item)),
            near.empty() ? fmt::format("figures are {}", fmt::join(figure_names(), ", "))
                         : fmt::format("did you mean \"{}\"?", near));
    } else if (figure->of_plan_only && spec_.verb != Verb::kPlan) {
      fault(item.at, "figures", fmt::format("{} is a figure of verb plan", item.text));
    } else if (!wanted.insert(item.text).second) {
      fault(item.at, "figures", fmt::format("{} stands twice", item.text));
    }
  }

  const base::Document& document_;
  base::DiagnosticSink sink_;
  SweepSpec spec_;
};

}  // namespace

std::string_view name(Verb verb) { return verb == Verb::kPlan ? "plan" : "simulate"; }

std::string_view name(Input input) { return kInputNames[index(input)]; }

SweepSpec read_sweep(const base::Document& document) { return SpecReader(document).read(); }

}  // namespace moeplan::sweep
