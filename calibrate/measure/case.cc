#include "calibrate/measure/case.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace moeplan::calibrate {

namespace {

/// What one key of a kind may hold: a count from `least` to kMost where there are no words, else one of the words.
struct KeyRule {
  std::string key;
  std::vector<std::string> words;
  std::string fallback;  ///< empty: the key has to be there
  std::int64_t least = 1;
  bool is_text = false;  ///< any word
};

struct KindRule {
  std::string kind;
  std::vector<KeyRule> keys;
};

constexpr std::int64_t kMost = std::int64_t{1} << 40;

const std::vector<std::string> kFormats{"fp32", "tf32", "fp16", "bf16", "fp8_tensor", "fp8_block"};
const std::vector<std::string> kPasses{"forward", "data_gradient", "weight_gradient"};
const std::vector<std::string> kCacheStates{"cold", "hot"};

const std::vector<KindRule>& rules() {
  static const std::vector<KindRule> all{
      {"gemm",
       {{"format", kFormats, ""},
        {"pass", kPasses, ""},
        {"m", {}, ""},
        {"n", {}, ""},
        {"k", {}, ""},
        {"l2", kCacheStates, "cold"}}},
      {"grouped_product",
       {{"kernel", {"cublas_grouped", "per_expert"}, ""},
        {"format", {"bf16", "fp16", "fp8_tensor"}, ""},
        {"pass", kPasses, ""},
        {"groups", {}, ""},
        {"rows", {}, ""},
        {"n", {}, ""},
        {"k", {}, ""},
        {"loads", {"balanced", "zipf_0.5", "zipf_1.0"}, "balanced"}}},
      {"memory",
       {{"op",
         {"permute", "unpermute", "swiglu", "swiglu_backward", "norm", "quantise", "transpose", "add", "cast",
          "grad_accumulate", "optimizer", "reduce", "copy", "fill"},
         ""},
        {"rows", {}, ""},
        {"cols", {}, ""},
        {"top_k", {}, "1"},
        {"l2", kCacheStates, "cold"}}},
      {"copy", {{"direction", {"host_to_device", "device_to_host"}, ""}, {"bytes", {}, ""}}},
      {"launch",
       {{"op",
         {"kernel_host", "kernel_stream", "graph_host", "graph_kernel", "product_host", "event_host", "sync"},
         ""}}},
      {"interference",
       {{"measured", {"gemm", "sm_copy", "device_copy", "host_to_device"}, ""},
        {"beside", {"gemm", "sm_copy", "device_copy", "host_to_device", "nothing"}, ""},
        {"sms", {}, "20"},
        {"m", {}, ""},
        {"n", {}, ""},
        {"k", {}, ""}}},
      {"sustained",
       {{"format", kFormats, ""}, {"m", {}, ""}, {"n", {}, ""}, {"k", {}, ""}, {"seconds", {}, ""}}},
      // Between ranks: MPI.
      {"ping_pong", {{"src", {}, "", 0}, {"dst", {}, "", 0}, {"bytes", {}, ""}}},
      {"pair", {{"src", {}, "", 0}, {"dst", {}, "", 0}, {"bytes", {}, ""}}},
      {"grouped", {{"first", {}, "1"}, {"peers", {}, ""}, {"bytes", {}, ""}}},
      {"alltoallv",
       {{"skew", {"uniform", "zipf_0.5", "zipf_1.0", "zipf_1.5"}, ""}, {"hot", {}, "0", 0}, {"bytes", {}, ""}}},
      {"collective",
       {{"collective", {"all_gather", "reduce_scatter", "all_reduce", "alltoall", "broadcast"}, ""},
        {"nodes", {}, ""},
        {"gpus_per_node", {}, ""},
        {"bytes", {}, ""}}},
      {"traffic", {{"name", {}, "", 1, true}, {"digest", {}, ""}}},
  };
  return all;
}

template <class Range, class Name>
std::string join(const Range& range, Name name) {
  std::string text;
  for (const auto& item : range) text += (text.empty() ? "" : ", ") + name(item);
  return text;
}

std::string join(const std::vector<std::string>& words) {
  return join(words, [](const std::string& word) { return word; });
}

const KindRule& find_kind(const std::string& kind) {
  for (const KindRule& rule : rules())
    if (rule.kind == kind) return rule;
  throw CaseError(1, "kind \"" + kind + "\" is unknown, expected one of " + join(case_kinds()));
}

void check_value(const KeyRule& rule, const std::string& value, int column) {
  if (rule.is_text) return;
  if (!rule.words.empty()) {
    if (std::find(rule.words.begin(), rule.words.end(), value) == rule.words.end())
      throw CaseError(column,
                      rule.key + " \"" + value + "\" is unknown, expected one of " + join(rule.words));
    return;
  }
  std::int64_t number = 0;
  const char* end = value.data() + value.size();
  const auto [stop, error] = std::from_chars(value.data(), end, number);
  if (error != std::errc{} || stop != end || number < rule.least || number > kMost ||
      (value.size() > 1 && value.front() == '0'))
    throw CaseError(column, rule.key + " \"" + value + "\" is no whole number from " +
                                std::to_string(rule.least) + " to 2^40");
}

struct Word {
  std::string text;
  int column = 1;
};

std::vector<Word> split(std::string_view text) {
  std::vector<Word> words;
  std::size_t at = 0;
  while ((at = text.find_first_not_of(" \t\r", at)) != std::string_view::npos) {
    const std::size_t end = std::min(text.find_first_of(" \t\r", at), text.size());
    words.push_back({std::string(text.substr(at, end - at)), static_cast<int>(at) + 1});
    at = end;
  }
  return words;
}

}  // namespace

std::vector<std::string> case_kinds() {
  std::vector<std::string> names;
  for (const KindRule& rule : rules()) names.push_back(rule.kind);
  return names;
}

std::set<std::string> parse_kinds(std::string_view list) {
  std::set<std::string> kinds;
  for (std::size_t at = 0; at <= list.size();) {
    const std::size_t end = std::min(list.find(',', at), list.size());
    const std::string kind(list.substr(at, end - at));
    try {
      kinds.insert(find_kind(kind).kind);
    } catch (const CaseError& error) {
      throw CaseError(static_cast<int>(at) + 1, error.what());
    }
    at = end + 1;
  }
  return kinds;
}

std::vector<Case> keep_kinds(std::vector<Case> cases, const std::set<std::string>& kinds) {
  if (!kinds.empty()) std::erase_if(cases, [&](const Case& what) { return kinds.count(what.kind()) == 0; });
  return cases;
}

Case Case::parse(std::string_view text) {
  const std::vector<Word> words = split(text);
  if (words.empty()) throw CaseError(1, "an empty case, expected KIND key=value ...");
  const KindRule& rule = find_kind(words.front().text);
  const int end_column = static_cast<int>(text.size()) + 1;

  std::vector<std::pair<std::string, Word>> given;
  for (std::size_t i = 1; i < words.size(); ++i) {
    const Word& word = words[i];
    const std::size_t equals = word.text.find('=');
    if (equals == std::string::npos || equals + 1 == word.text.size())
      throw CaseError(word.column, "\"" + word.text + "\" is no key=value");
    const std::string key = word.text.substr(0, equals);
    const auto known = [&](const KeyRule& k) { return k.key == key; };
    if (std::none_of(rule.keys.begin(), rule.keys.end(), known))
      throw CaseError(word.column, "key \"" + key + "\" is unknown to " + rule.kind + ", expected one of " +
                                       join(rule.keys, [](const KeyRule& k) { return k.key; }));
    for (const auto& [earlier, value] : given)
      if (earlier == key) throw CaseError(word.column, "key \"" + key + "\" stands there twice");
    given.emplace_back(key, Word{word.text.substr(equals + 1), word.column + static_cast<int>(equals) + 1});
  }

  Case result;
  result.kind_ = result.key_ = rule.kind;
  for (const KeyRule& key : rule.keys) {
    Word value{key.fallback, end_column};
    for (const auto& [name, word] : given)
      if (name == key.key) value = word;
    if (value.text.empty()) throw CaseError(end_column, rule.kind + " lacks the key \"" + key.key + "\"");
    check_value(key, value.text, value.column);
    result.key_ += " " + key.key + "=" + value.text;
    result.fields_.push_back({key.key, value.text, key.words.empty() && !key.is_text});
  }
  return result;
}

const std::string& Case::word(std::string_view key) const {
  for (const Field& field : fields_)
    if (field.key == key) return field.value;
  throw std::out_of_range("case " + key_ + " has no key " + std::string(key));
}

std::int64_t Case::number(std::string_view key) const { return std::stoll(word(key)); }

std::string Case::shape_json() const {
  return "{" +
         join(fields_,
              [](const Field& f) {
                return "\"" + f.key + "\": " + (f.is_number ? f.value : "\"" + f.value + "\"");
              }) +
         "}";
}

std::vector<Case> parse_cases(std::string_view text, const std::string& file) {
  std::vector<Case> cases;
  std::set<std::string> seen;
  int line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, std::min(line.find('#'), line.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    try {
      Case parsed = Case::parse(line);
      if (seen.insert(parsed.key()).second) cases.push_back(std::move(parsed));
    } catch (const CaseError& error) {
      throw CaseError(error.column(), file + ":" + std::to_string(line_number) + ":" +
                                          std::to_string(error.column()) + ": error: " + error.what());
    }
  }
  return cases;
}

}  // namespace moeplan::calibrate
