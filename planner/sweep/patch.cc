#include "planner/sweep/patch.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/node_path.h"

namespace moeplan::sweep {

namespace {

/// Lines of a sweep file are below zero in the trees of other files.
void mark(base::Node& node) {
  node.at.line = -node.at.line;
  for (base::Node& item : node.items) mark(item);
  for (base::Member& member : node.members) {
    member.at.line = -member.at.line;
    mark(member.value);
  }
}

bool changes(const Axis& axis, Input input) { return axis.input == input && !axis.is_whole_input(); }

}  // namespace

base::Document patch(const base::Document& source, Input input, const SweepSpec& spec,
                     const std::vector<std::size_t>& values) {
  base::Document document = source;
  base::DiagnosticSink sink;
  for (std::size_t a = 0; a < spec.axes.size(); ++a) {
    const Axis& axis = spec.axes[a];
    if (!changes(axis, input)) continue;
    const base::NodeSearch place = base::find_node(document.root, axis.steps);
    if (place.node == nullptr) {
      sink.add({spec.file, axis.at, "sweep > axes > " + axis.path,
                fmt::format("{}: {}", source.file, place.message), place.hint});
      continue;
    }
    base::Node value = axis.values[values[a]].node;
    mark(value);
    *place.node = std::move(value);
  }
  sink.throw_if_any();
  return document;
}

base::Document patch_options(const SweepSpec& spec, const std::vector<std::size_t>& values) {
  base::Document document{spec.file, spec.options};
  for (std::size_t a = 0; a < spec.axes.size(); ++a) {
    const Axis& axis = spec.axes[a];
    if (!changes(axis, Input::kOptions)) continue;
    const std::string& key = axis.steps.front().key;
    std::vector<base::Member>& members = document.root.members;
    const auto place = std::find_if(members.begin(), members.end(),
                                    [&](const base::Member& member) { return member.key == key; });
    base::Member member{key, axis.at, axis.values[values[a]].node};
    if (place == members.end()) {
      members.push_back(std::move(member));
    } else {
      *place = std::move(member);
    }
  }
  return document;
}

std::vector<base::Diagnostic> place_faults(const base::InputError& error, Input input, const SweepSpec& spec,
                                           const std::vector<std::size_t>& values) {
  std::string setting;
  for (std::size_t a = 0; a < spec.axes.size(); ++a) {
    const Axis& axis = spec.axes[a];
    if (axis.input == input)
      setting +=
          fmt::format("{}{} = {}", setting.empty() ? "" : ", ", axis.path, axis.values[values[a]].label);
  }
  std::vector<base::Diagnostic> faults = error.diagnostics();
  for (base::Diagnostic& fault : faults) {
    if (fault.at.line < 0) {
      fault.file = spec.file;
      fault.at.line = -fault.at.line;
    }
    if (!setting.empty() && !fault.file.empty() && fault.file != spec.file)
      fault.hint += fmt::format("{}of the point with {}", fault.hint.empty() ? "" : "; ", setting);
  }
  return faults;
}

}  // namespace moeplan::sweep
