#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moeplan::report {

/// What `--only` asks for: GROUP or GROUP/PATTERN, any number of them; none = everything.
///
/// PATTERN is matched against the name of a case: `*` stands for any text, `?` for one character; a pattern
/// without either matches where the name contains it.
class Selection {
 public:
  Selection() = default;
  /// Throws InputError where a group does not exist, with the list.
  Selection(const std::vector<std::string>& only, const std::vector<std::string>& groups);

  bool has_group(std::string_view group) const;
  bool has_case(std::string_view group, std::string_view name) const;
  /// Some rows of the group are left out by a pattern.
  bool narrows(std::string_view group) const;

 private:
  struct Item {
    std::string group;
    std::string pattern;  // empty: the whole group
  };
  std::vector<Item> items_;
};

/// True where `text` matches `pattern` of the syntax above.
bool matches(std::string_view pattern, std::string_view text);

}  // namespace moeplan::report
