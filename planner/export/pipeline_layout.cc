#include "planner/export/pipeline_layout.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace moeplan::planner {

namespace {

constexpr std::size_t kMaxLetters = 100'000;  // a repeat bomb ends here

/// Reports faults at a column of the layout text.
struct Faults {
  const std::string& file;
  base::Position at;
  base::DiagnosticSink& sink;

  void add(std::size_t offset, std::string message, std::string hint = "") const {
    base::Position where = at;
    if (where.line > 0) where.column += static_cast<int>(offset);
    sink.add({file, where, "pipeline-model-parallel-layout", std::move(message), std::move(hint)});
  }
};

/// Reads "*n" at text[i]; 1 where there is none. Moves i past it.
std::size_t read_repeat(const std::string& text, std::size_t& i, const Faults& faults) {
  if (i >= text.size() || text[i] != '*') return 1;
  const std::size_t star = i++;
  std::size_t value = 0;
  const std::size_t first = i;
  while (i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])) != 0 && value < kMaxLetters) {
    value = value * 10 + static_cast<std::size_t>(text[i++] - '0');
  }
  if (i == first) faults.add(star, "\"*\" without a count, expected a whole number behind it");
  return i == first ? 1 : value;
}

/// Letters and bars of text[i..end) with all repeats unrolled.
std::string unroll(const std::string& text, std::size_t& i, bool inside, const Faults& faults) {
  std::string out;
  while (i < text.size()) {
    const char c = text[i];
    if (c == ')') break;
    std::string unit;
    const std::size_t start = i++;
    if (c == ',' || c == ' ') continue;
    if (c == '(') {
      if (inside) faults.add(start, "a bracket inside a bracket, expected one level");
      unit = unroll(text, i, true, faults);
      if (i < text.size()) {
        ++i;
      } else {
        faults.add(start, "\"(\" is never closed");
      }
    } else if (c == 'E' || c == 't' || c == 'm' || c == 'L' || c == '|') {
      unit = std::string(1, c);
    } else {
      faults.add(start, fmt::format("unknown letter \"{}\", expected E, t, m, L or |", c));
      continue;
    }
    const std::size_t repeat = read_repeat(text, i, faults);
    if (unit.size() * repeat + out.size() > kMaxLetters) {
      faults.add(start, fmt::format("the layout unrolls to more than {} letters", kMaxLetters));
      i = text.size();
      break;
    }
    for (std::size_t k = 0; k < repeat; ++k) out += unit;
  }
  if (!inside && i < text.size()) {
    faults.add(i, "\")\" closes nothing");
    i = text.size();
  }
  return out;
}

void check_order(const std::string& flat, const Faults& faults) {
  const auto times = [&flat](char c) { return std::count(flat.begin(), flat.end(), c); };
  if (times('E') != 1 || flat.front() != 'E') faults.add(0, "the embedding E has to stand first and once");
  if (times('L') != 1 || flat.back() != 'L') faults.add(0, "the loss L has to stand last and once");
  const std::size_t mtp = flat.find('m');
  if (mtp != std::string::npos && flat.find('t', mtp) != std::string::npos) {
    faults.add(0, "a decoder layer t behind an MTP block m, expected all decoder layers before");
  }
}

/// "tttt" as "t*4", "tt" as "tt".
std::string pack_letters(const std::string& stage) {
  std::string out;
  for (std::size_t i = 0; i < stage.size();) {
    std::size_t n = 1;
    while (i + n < stage.size() && stage[i + n] == stage[i]) ++n;
    if (n > 3) {
      out += fmt::format("{}*{}", stage[i], n);
    } else {
      out += std::string(n, stage[i]);
    }
    i += n;
  }
  return out;
}

}  // namespace

int PipelineLayout::count(char letter) const {
  std::ptrdiff_t total = 0;
  for (const std::string& stage : stages) total += std::count(stage.begin(), stage.end(), letter);
  return static_cast<int>(total);
}

sim::StageSplit PipelineLayout::split() const {
  sim::StageSplit split;
  for (const std::string& stage : stages) {
    split.layers_per_chunk.push_back(static_cast<int>(std::count(stage.begin(), stage.end(), 't')));
  }
  return split;
}

PipelineLayout parse_pipeline_layout(const std::string& text, const std::string& file, base::Position at,
                                     base::DiagnosticSink& sink) {
  const Faults faults{file, at, sink};
  std::size_t i = 0;
  const std::string flat = unroll(text, i, false, faults);
  PipelineLayout layout;
  std::string letters;
  layout.stages.emplace_back();
  for (const char c : flat) {
    if (c == '|') {
      layout.stages.emplace_back();
    } else {
      layout.stages.back() += c;
      letters += c;
    }
  }
  if (letters.empty()) {
    faults.add(0, "an empty layout, expected something like \"Et*4|t*4|t*4|t*4L\"");
  } else {
    check_order(letters, faults);
  }
  return layout;
}

std::string write_pipeline_layout(const sim::StageSplit& split, int mtp_layers) {
  std::vector<std::string> stages;
  const std::size_t n = split.layers_per_chunk.size();
  for (std::size_t c = 0; c < n; ++c) {
    std::string stage(c == 0 ? "E" : "");
    stage += std::string(static_cast<std::size_t>(split.layers_per_chunk[c]), 't');
    if (c + 1 == n) stage += std::string(static_cast<std::size_t>(mtp_layers), 'm') + "L";
    stages.push_back(stage);
  }
  std::string out;
  for (std::size_t c = 0; c < n;) {
    std::size_t run = 1;
    while (c + run < n && stages[c + run] == stages[c]) ++run;
    const bool last = c + run == n;
    if (run >= 3 && !last && !stages[c].empty()) {
      out += fmt::format("({}|)*{}", stages[c], run);  // plain letters: a repeat inside a repeat is hard to read
    } else {
      for (std::size_t k = 0; k < run; ++k) out += pack_letters(stages[c]) + (last && k + 1 == run ? "" : "|");
    }
    c += run;
  }
  return out;
}

}  // namespace moeplan::planner
