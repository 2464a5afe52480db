#include "planner/sweep/grid.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "planner/search/axes.h"
#include "planner/search/space.h"

namespace moeplan::planner {

namespace {

using base::Node;
using base::NodeKind;
using base::ObjectReader;

const std::vector<std::string> kInputs{"cluster", "model", "run", "load", "plan", "profile"};

std::string text_of(const Node& node) {
  switch (node.kind) {
    case NodeKind::kNull:
      return "null";
    case NodeKind::kScalar:
      return node.text;
    case NodeKind::kSequence: {
      std::vector<std::string> items;
      for (const Node& item : node.items) items.push_back(text_of(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
    case NodeKind::kMap: {
      std::vector<std::string> members;
      for (const base::Member& member : node.members)
        members.push_back(member.key + ": " + text_of(member.value));
      return fmt::format("{{{}}}", fmt::join(members, ", "));
    }
  }
  return "";
}

std::vector<std::string> split_path(const std::string& name) {
  std::vector<std::string> parts;
  std::size_t start = 0;
  for (std::size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', start)) {
    parts.push_back(name.substr(start, dot - start));
    start = dot + 1;
  }
  parts.push_back(name.substr(start));
  return parts;
}

/// An input that the verb takes; plan takes no plan.
std::vector<std::string> inputs_of(SweepVerb verb) {
  std::vector<std::string> inputs = kInputs;
  if (verb == SweepVerb::kPlan) inputs.erase(std::find(inputs.begin(), inputs.end(), "plan"));
  return inputs;
}

void read_base(ObjectReader reader, SweepSpec& spec) {
  for (const std::string& input : inputs_of(spec.verb)) {
    if (auto value = reader.optional<std::string>(input)) spec.base[input] = *value;
  }
  reader.finish();
}

SweepKey read_key(ObjectReader& axis, const std::string& name, SweepVerb verb) {
  SweepKey key;
  key.name = name;
  key.place = axis.place(name);
  key.path = split_path(name);
  key.input = key.path.front();
  key.path.erase(key.path.begin());
  const std::vector<std::string> inputs = inputs_of(verb);
  if (std::find(inputs.begin(), inputs.end(), key.input) == inputs.end()) {
    const std::string near = base::nearest_word(key.input, inputs);
    axis.fault(
        name,
        fmt::format("found {}, expected one of {}, or a value inside one (cluster.node.nics.bandwidth)",
                    base::excerpt(name), fmt::join(inputs, ", ")),
        near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
  } else if (key.input == "load" && !key.path.empty()) {
    axis.fault(name, "a load is a file or a generator as a whole", "write \"load: [zipf:0.5, zipf:1.0]\"");
  } else if (std::any_of(key.path.begin(), key.path.end(),
                         [](const std::string& part) { return part.empty(); })) {
    axis.fault(name, "a part of the path is empty");
  }
  const Node* values = axis.node(name);
  if (values == nullptr || values->kind != NodeKind::kSequence || values->items.empty()) {
    axis.fault(name, "expected a list of values");
    return key;
  }
  for (const Node& value : values->items) {
    if (key.path.empty() && (value.kind != NodeKind::kScalar || value.text.empty()))
      axis.fault(name,
                 fmt::format("found {}, expected files, names or generators", base::excerpt(text_of(value))));
    key.values.push_back(value);
    key.texts.push_back(text_of(value));
    if (std::count(key.texts.begin(), key.texts.end(), key.texts.back()) > 1)
      axis.fault(name, fmt::format("the value {} is there twice", base::excerpt(key.texts.back())));
  }
  return key;
}

void read_axes(ObjectReader& top, SweepSpec& spec) {
  std::set<std::string> seen;
  for (ObjectReader& axis : top.objects("axes")) {
    SweepAxis read;
    for (const std::string& name : axis.keys()) {
      SweepKey key = read_key(axis, name, spec.verb);
      if (!seen.insert(name).second) axis.fault(name, "the key stands in two axes");
      if (!read.keys.empty() && !key.values.empty() && key.values.size() != read.size()) {
        axis.fault(name,
                   fmt::format("found {} values, expected {} as of \"{}\": keys of one axis change together",
                               key.values.size(), read.size(), read.keys.front().name),
                   "give it an axis of its own to combine all with all");
      }
      read.keys.push_back(std::move(key));
    }
    if (read.keys.empty()) {
      top.fault("axes", "found an axis without a key");
      continue;
    }
    spec.axes.push_back(std::move(read));
  }
  if (spec.axes.empty()) top.fault("axes", "found no axis, expected at least one to vary");
}

void read_exclusions(ObjectReader& top, SweepSpec& spec) {
  for (ObjectReader& exclusion : top.objects("exclude")) {
    SweepExclusion read;
    for (const std::string& name : exclusion.keys()) {
      const Node* value = exclusion.node(name);
      const std::string text = text_of(*value);
      std::vector<std::string> names;
      const SweepKey* found = nullptr;
      for (const SweepKey* key : spec.keys()) {
        names.push_back(key->name);
        if (key->name == name) found = key;
      }
      if (found == nullptr) {
        const std::string near = base::nearest_word(name, names);
        exclusion.fault(name, "no axis varies this key",
                        near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
      } else if (std::find(found->texts.begin(), found->texts.end(), text) == found->texts.end()) {
        exclusion.fault(name, fmt::format("found {}, expected one of {}", base::excerpt(text),
                                          fmt::join(found->texts, ", ")));
      }
      read.values.emplace_back(name, text);
    }
    if (read.values.empty()) top.fault("exclude", "found an exclusion without values");
    spec.exclude.push_back(std::move(read));
  }
}

/// Which inputs have to come from somewhere.
void check_inputs(ObjectReader& top, const SweepSpec& spec) {
  for (const std::string& input : inputs_of(spec.verb)) {
    if (input == "load" || input == "profile" || spec.base.count(input) > 0) continue;
    const auto keys = spec.keys();
    const bool varied = std::any_of(keys.begin(), keys.end(), [&](const SweepKey* key) {
      return key->input == input && key->path.empty();
    });
    if (!varied)
      top.fault("base", fmt::format("input \"{}\" is missing", input),
                "name it under \"base\", or vary it in an axis");
  }
}

void read_options(ObjectReader& top, SweepSpec& spec) {
  spec.seed = static_cast<std::uint64_t>(top.value_or<std::int64_t>("seed", 1));
  spec.map_layers = top.value_or("map_layers", false);
  spec.assume = top.value_or<std::vector<std::string>>("assume", {});
  spec.iterations = top.value_or("iterations", spec.iterations);
  if (spec.iterations < 1)
    top.fault("iterations", fmt::format("found {}, expected 1 or more", spec.iterations));
  if (spec.verb == SweepVerb::kSimulate) {
    spec.sharing = top.one_of("sharing", {"flow", "bound"}, "flow");
    return;
  }
  spec.framework = top.one_of("framework", {"megatron", "any"}, "megatron");
  spec.pins = top.value_or<std::string>("pins", "");
  spec.open = top.value_or<std::string>("open", "");
  spec.budget = top.value_or<std::int64_t>("budget", 0);
  if (spec.budget < 0)
    top.fault("budget", fmt::format("found {}, expected a number of simulations", spec.budget));
  const auto check = [&](const char* key, const auto& parse) {
    try {
      parse();
    } catch (const base::InputError& error) {
      const base::Diagnostic& first = error.diagnostics().front();
      top.fault(key, first.message, first.hint);
    }
  };
  check("pins", [&] { parse_pins(spec.pins); });
  if (!spec.open.empty()) check("open", [&] { parse_open_axes(spec.open); });
}

std::size_t count_points(const SweepSpec& spec) {
  std::size_t points = 1;
  for (const SweepAxis& axis : spec.axes) {
    if (points > kMaxSweepPoints) break;
    points *= axis.size();
  }
  return points;
}

}  // namespace

std::vector<const SweepKey*> SweepSpec::keys() const {
  std::vector<const SweepKey*> all;
  for (const SweepAxis& axis : axes) {
    for (const SweepKey& key : axis.keys) all.push_back(&key);
  }
  return all;
}

SweepSpec read_sweep(const base::Document& document) {
  base::DiagnosticSink sink;
  ObjectReader top(document, sink, "sweep");
  SweepSpec spec;
  spec.file = document.file;
  spec.name = top.required<std::string>("name");
  spec.verb = top.one_of("verb", {"simulate", "plan"}, "simulate") == "plan" ? SweepVerb::kPlan
                                                                             : SweepVerb::kSimulate;
  if (auto base = top.optional_object("base")) read_base(std::move(*base), spec);
  read_axes(top, spec);
  if (sink.empty()) read_exclusions(top, spec);
  top.ignore("exclude");
  check_inputs(top, spec);
  read_options(top, spec);
  top.finish();
  sink.throw_if_any();
  if (count_points(spec) > kMaxSweepPoints)
    top.fault("axes", fmt::format("the axes combine to more than {} points", kMaxSweepPoints),
              "sweep fewer values at a time");
  else if (list_points(spec).empty())
    top.fault("exclude", "every point is excluded");
  sink.throw_if_any();
  return spec;
}

std::vector<std::string> point_texts(const SweepSpec& spec, const SweepPoint& point) {
  std::vector<std::string> texts;
  for (std::size_t axis = 0; axis < spec.axes.size(); ++axis) {
    for (const SweepKey& key : spec.axes[axis].keys) texts.push_back(key.texts[point.choice[axis]]);
  }
  return texts;
}

std::string describe_point(const SweepSpec& spec, const SweepPoint& point) {
  const std::vector<std::string> texts = point_texts(spec, point);
  const std::vector<const SweepKey*> keys = spec.keys();
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < keys.size(); ++i) parts.push_back(keys[i]->name + " " + texts[i]);
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<SweepPoint> list_points(const SweepSpec& spec) {
  const std::vector<const SweepKey*> keys = spec.keys();
  const auto is_excluded = [&](const SweepPoint& point) {
    const std::vector<std::string> texts = point_texts(spec, point);
    return std::any_of(spec.exclude.begin(), spec.exclude.end(), [&](const SweepExclusion& exclusion) {
      return std::all_of(exclusion.values.begin(), exclusion.values.end(), [&](const auto& value) {
        const auto key =
            std::find_if(keys.begin(), keys.end(), [&](const SweepKey* k) { return k->name == value.first; });
        return texts[static_cast<std::size_t>(key - keys.begin())] == value.second;
      });
    });
  };
  std::vector<SweepPoint> points;
  SweepPoint point{0, std::vector<std::size_t>(spec.axes.size(), 0)};
  for (bool more = !spec.axes.empty(); more;) {
    point.number = points.size();
    if (spec.exclude.empty() || !is_excluded(point)) points.push_back(point);
    std::size_t axis = spec.axes.size();
    more = false;
    while (axis-- > 0) {
      if (++point.choice[axis] < spec.axes[axis].size()) {
        more = true;
        break;
      }
      point.choice[axis] = 0;
    }
  }
  return points;
}

}  // namespace moeplan::planner
