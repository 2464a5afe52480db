#include "report/validation/selection.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/diagnostics.h"

namespace moeplan::report {

namespace {

/// Greedy match with one point to come back to: the last star. O(pattern * text).
bool matches_whole(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace

bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.find_first_of("*?") == std::string_view::npos)
    return text.find(pattern) != std::string_view::npos;
  return matches_whole(pattern, text);
}

Selection::Selection(const std::vector<std::string>& only, const std::vector<std::string>& groups) {
  for (const std::string& text : only) {
    const std::size_t slash = text.find('/');
    Item item{text.substr(0, slash), slash == std::string::npos ? "" : text.substr(slash + 1)};
    if (std::find(groups.begin(), groups.end(), item.group) == groups.end()) {
      const std::string near = base::nearest_word(item.group, groups);
      throw base::InputError(fmt::format("--only names \"{}\", expected a group or GROUP/PATTERN", text),
                             near.empty() ? fmt::format("groups: {}", fmt::join(groups, ", "))
                                          : fmt::format("did you mean \"{}\"?", near));
    }
    items_.push_back(std::move(item));
  }
}

bool Selection::has_group(std::string_view group) const {
  return items_.empty() ||
         std::any_of(items_.begin(), items_.end(), [&](const Item& item) { return item.group == group; });
}

bool Selection::has_case(std::string_view group, std::string_view name) const {
  return items_.empty() || std::any_of(items_.begin(), items_.end(), [&](const Item& item) {
           return item.group == group && (item.pattern.empty() || matches(item.pattern, name));
         });
}

bool Selection::narrows(std::string_view group) const {
  return has_group(group) && !items_.empty() &&
         std::none_of(items_.begin(), items_.end(),
                      [&](const Item& item) { return item.group == group && item.pattern.empty(); });
}

}  // namespace moeplan::report
