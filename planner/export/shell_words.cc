#include "planner/export/shell_words.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <utility>

namespace moeplan::planner {

namespace {

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_name(char c) { return is_name_start(c) || std::isdigit(static_cast<unsigned char>(c)) != 0; }
bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/// One pass over the text; no look-ahead beyond a character or two.
class Scanner {
 public:
  Scanner(std::string_view text, const std::map<std::string, std::string>& variables) : text_(text), given_(variables) {
    result_.variables = variables;
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    bare_list_ = first != std::string_view::npos && text.substr(first).starts_with("--");
  }

  ShellText run() {
    while (!at_end()) {
      skip_blanks();
      if (at_end()) break;
      const char c = peek();
      if (c == '#') {
        skip_comment();
      } else if (ends_command(c) || is_bracket(c)) {
        advance();
        end_command();
      } else {
        read_item();
      }
    }
    end_command();
    return std::move(result_);
  }

 private:
  bool at_end() const { return i_ >= text_.size(); }
  char peek(std::size_t ahead = 0) const { return i_ + ahead < text_.size() ? text_[i_ + ahead] : '\0'; }

  void advance() {
    if (text_[i_] == '\n') {
      ++at_.line;
      at_.column = 1;
    } else {
      ++at_.column;
    }
    ++i_;
  }

  /// In a bare list of arguments only blanks separate: `Et|(tt|)*4L` is one word there.
  bool ends_command(char c) const { return !bare_list_ && (c == '\n' || c == ';' || c == '&' || c == '|'); }
  bool is_bracket(char c) const { return !bare_list_ && (c == '(' || c == ')'); }
  bool is_space(char c) const { return is_blank(c) || (bare_list_ && c == '\n'); }

  /// Blanks and continued lines.
  void skip_blanks() {
    while (!at_end()) {
      if (is_space(peek())) {
        advance();
      } else if (peek() == '\\' && (peek(1) == '\n' || (peek(1) == '\r' && peek(2) == '\n'))) {
        while (peek() != '\n') advance();
        advance();
      } else {
        return;
      }
    }
  }

  void skip_comment() {
    while (!at_end() && peek() != '\n') advance();
  }

  void end_command() {
    if (!command_.empty()) result_.commands.push_back(std::move(command_));
    command_.clear();
  }

  /// An assignment in front of a command, or a word of it.
  void read_item() {
    if (!bare_list_ && command_.empty() && is_name_start(peek())) {
      std::size_t n = 1;
      while (is_name(peek(n))) ++n;
      const bool plus = peek(n) == '+' && peek(n + 1) == '=';
      if (plus || peek(n) == '=') {
        const std::string name(text_.substr(i_, n));
        for (std::size_t k = 0; k < n + (plus ? 2U : 1U); ++k) advance();
        assign(name, plus);
        return;
      }
      const std::string_view word = text_.substr(i_, n);
      if (!is_name(peek(n)) && (word == "export" || word == "local" || word == "readonly" || word == "declare" ||
                                word == "then" || word == "else" || word == "do")) {
        for (std::size_t k = 0; k < n; ++k) advance();
        return;
      }
    }
    std::vector<ShellWord> words = read_word();
    std::move(words.begin(), words.end(), std::back_inserter(command_));
  }

  void assign(const std::string& name, bool plus) {
    if (peek() != '(') {
      std::string value;
      bool resolved = true;
      if (!at_end() && !is_blank(peek()) && !ends_command(peek())) {
        const std::vector<ShellWord> words = read_word();
        for (const ShellWord& word : words) {
          value += (value.empty() ? "" : " ") + word.text;
          resolved = resolved && word.unresolved.empty();
        }
      }
      if (given_.contains(name)) return;
      if (plus) value = result_.variables[name] + value;
      if (resolved) {
        result_.variables[name] = value;
        result_.arrays.erase(name);
      }
      return;
    }
    advance();
    std::vector<ShellWord>& array = result_.arrays[name];
    if (!plus) array.clear();
    while (!at_end() && peek() != ')') {
      skip_blanks();
      if (at_end() || peek() == ')') break;
      if (peek() == '#') {
        skip_comment();
      } else if (ends_command(peek()) || peek() == '(') {
        advance();
      } else {
        std::vector<ShellWord> words = read_word();
        std::move(words.begin(), words.end(), std::back_inserter(array));
      }
    }
    if (!at_end()) advance();
  }

  /// One word as written; an unquoted variable splits at blanks, an array gives its elements.
  std::vector<ShellWord> read_word() {
    std::vector<ShellWord> words(1);
    words.back().at = at_;
    bool quoted = false;
    bool any = false;
    const std::size_t start = i_;
    while (!at_end()) {
      const char c = peek();
      if (c == '"') {
        quoted = !quoted;
        any = true;
        advance();
      } else if (!quoted && c == '\'') {
        any = true;
        advance();
        while (!at_end() && peek() != '\'') take(words.back());
        if (!at_end()) advance();
      } else if (c == '\\' && i_ + 1 < text_.size()) {
        if (quoted && std::string_view("\"\\$`\n").find(peek(1)) == std::string_view::npos) {
          take(words.back());
        } else {
          advance();
          if (peek() == '\n') {
            advance();
            if (!quoted) break;
          } else {
            take(words.back());
          }
        }
      } else if (c == '$') {
        expand(words, quoted);
        any = true;
      } else if (!quoted && (is_space(c) || ends_command(c) || is_bracket(c))) {
        break;
      } else {
        take(words.back());
      }
    }
    if (i_ == start) advance();  // a lone character that starts nothing
    std::erase_if(words, [&](const ShellWord& word) { return word.text.empty() && (!any || words.size() > 1); });
    if (words.size() == 1 && words[0].text.empty() && words[0].unresolved.empty()) words.clear();
    return words;
  }

  void take(ShellWord& word) {
    word.text += peek();
    advance();
  }

  /// Text in brackets behind `$`, brackets balanced; the position moves behind it.
  std::string read_balanced(char open, char close) {
    std::string inside;
    int depth = 0;
    while (!at_end()) {
      const char c = peek();
      advance();
      if (c == open && ++depth == 1) continue;
      if (c == close && --depth == 0) break;
      inside += c;
    }
    return inside;
  }

  void expand(std::vector<ShellWord>& words, bool quoted) {
    advance();  // $
    if (peek() == '(') {
      const std::string inside = read_balanced('(', ')');
      append_unresolved(words.back(), "$(" + inside + ")");
      return;
    }
    std::string name;
    std::string fallback;
    bool has_fallback = false;
    bool array = false;
    if (peek() == '{') {
      const std::string inside = read_balanced('{', '}');
      std::size_t n = 0;
      while (n < inside.size() && is_name(inside[n])) ++n;
      name = inside.substr(0, n);
      const std::string rest = inside.substr(n);
      array = rest == "[@]" || rest == "[*]";
      if (rest.starts_with(":-") || rest.starts_with(":=")) {
        has_fallback = true;
        fallback = rest.substr(2);
      } else if (!rest.empty() && !array) {
        append_unresolved(words.back(), inside);
        return;
      }
    } else {
      while (is_name(peek())) {
        name += peek();
        advance();
      }
    }
    if (name.empty()) {
      append_unresolved(words.back(), "$");
      return;
    }
    substitute(words, name, has_fallback, fallback, quoted, array);
  }

  static void append_unresolved(ShellWord& word, const std::string& name) {
    word.text += "${" + name + "}";
    word.unresolved.push_back(name);
  }

  void substitute(std::vector<ShellWord>& words, const std::string& name, bool has_fallback, const std::string& fallback,
                  bool quoted, bool array) {
    if (const auto found = result_.arrays.find(name); found != result_.arrays.end()) {
      // "$NAME" of an array is its first element.
      const std::vector<ShellWord> elements = found->second;
      for (std::size_t k = 0; k < elements.size() && (array || k == 0); ++k) {
        if (words.back().text.empty() && words.back().unresolved.empty()) {
          words.back() = elements[k];
        } else if (k == 0) {
          words.back().text += elements[k].text;
        } else {
          words.push_back(elements[k]);
        }
        if (array && k + 1 < elements.size()) words.push_back({});
      }
      if (words.size() > 1 && words.back().text.empty()) words.pop_back();
      return;
    }
    std::string value;
    if (const auto found = result_.variables.find(name); found != result_.variables.end() && !found->second.empty()) {
      value = found->second;
    } else if (has_fallback) {
      if (fallback.find('$') != std::string::npos) return append_unresolved(words.back(), name);
      value = fallback;
    } else if (!result_.variables.contains(name)) {
      return append_unresolved(words.back(), name);
    }
    if (quoted) {
      words.back().text += value;
      return;
    }
    const base::Position at = words.back().at;
    bool gap = false;
    for (const char c : value) {
      if (is_blank(c) || c == '\n') {
        gap = true;
        continue;
      }
      if (gap && !words.back().text.empty()) words.push_back({"", at, {}});
      gap = false;
      words.back().text += c;
    }
  }

  std::string_view text_;
  bool bare_list_ = false;
  const std::map<std::string, std::string>& given_;
  std::size_t i_ = 0;
  base::Position at_{1, 1};
  std::vector<ShellWord> command_;
  ShellText result_;
};

}  // namespace

ShellText read_shell(std::string_view text, const std::map<std::string, std::string>& variables) {
  return Scanner(text, variables).run();
}

std::string shell_quote(std::string_view word) {
  const auto safe = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::string_view("-_./:=,@%+").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), safe)) return std::string(word);
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace moeplan::planner
