#include "planner/export/python_literals.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/quantity_text.h"

namespace moeplan::planner {

namespace {

enum class TokenKind { kName, kNumber, kText, kMark, kEnd };

struct Token {
  TokenKind kind = TokenKind::kEnd;
  std::string text;
  base::Position at;
};

constexpr int kMaxNesting = 16;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Splits Python into names (with their dots), numbers, texts and single marks; "==" is one mark.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    while (true) {
      skip_blank();
      tokens.push_back(next());
      if (tokens.back().kind == TokenKind::kEnd) return tokens;
    }
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool done() const { return at_ >= text_.size(); }
  void step() {
    if (text_[at_] == '\n') {
      ++position_.line;
      position_.column = 0;
    }
    ++position_.column;
    ++at_;
  }
  void skip_blank() {
    while (!done()) {
      if (peek() == '#') {
        while (!done() && peek() != '\n') step();
      } else if (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n' || peek() == '\\') {
        step();
      } else {
        return;
      }
    }
  }

  Token next() {
    Token token;
    token.at = position_;
    if (done()) return token;
    if (peek() == '"' || peek() == '\'') return text(token);
    const bool number = is_digit(peek()) || (peek() == '-' && is_digit(peek(1)));
    token.kind = number ? TokenKind::kNumber : is_letter(peek()) ? TokenKind::kName : TokenKind::kMark;
    take(token);
    if (token.kind == TokenKind::kMark) {
      if (token.text == "=" && peek() == '=') take(token);
      return token;
    }
    while (!done() && (is_letter(peek()) || is_digit(peek()) || peek() == '.')) take(token);
    return token;
  }

  void take(Token& token) {
    token.text.push_back(peek());
    step();
  }

  Token text(Token token) {
    token.kind = TokenKind::kText;
    const char quote = peek();
    const bool block = peek(1) == quote && peek(2) == quote;
    for (int i = 0; i < (block ? 3 : 1); ++i) step();
    while (!done()) {
      if (peek() == quote && (!block || (peek(1) == quote && peek(2) == quote))) {
        for (int i = 0; i < (block ? 3 : 1) && !done(); ++i) step();
        return token;
      }
      if (peek() == '\n' && !block) return token;
      if (peek() == '\\' && at_ + 1 < text_.size()) step();
      take(token);
    }
    return token;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  base::Position position_{1, 1};
};

/// Literals from tokens.
class Parser {
 public:
  explicit Parser(const std::vector<Token>& tokens) : tokens_(tokens) {}

  /// The literal at `at`, which then stands behind it; nothing where there is none.
  std::optional<base::Node> literal(std::size_t& at, int depth = 0) const {
    const Token& token = tokens_[at];
    base::Node node;
    node.at = token.at;
    if (token.kind == TokenKind::kMark && token.text == "[") return list(at, depth);
    if (token.kind == TokenKind::kText) {
      node.kind = base::NodeKind::kScalar;
      node.quoted = true;
    } else if (token.kind == TokenKind::kNumber || token.text == "True" || token.text == "False") {
      node.kind = base::NodeKind::kScalar;
    } else if (token.text != "None") {
      return std::nullopt;
    }
    node.text = token.text;
    ++at;
    return node;
  }

 private:
  std::optional<base::Node> list(std::size_t& at, int depth) const {
    if (depth >= kMaxNesting) return std::nullopt;
    base::Node node;
    node.kind = base::NodeKind::kSequence;
    node.at = tokens_[at].at;
    ++at;
    while (tokens_[at].text != "]" || tokens_[at].kind != TokenKind::kMark) {
      auto item = literal(at, depth + 1);
      if (!item) return std::nullopt;
      node.items.push_back(std::move(*item));
      if (tokens_[at].kind == TokenKind::kMark && tokens_[at].text == ",")
        ++at;
      else if (tokens_[at].kind != TokenKind::kMark || tokens_[at].text != "]")
        return std::nullopt;
    }
    ++at;
    return node;
  }
  const std::vector<Token>& tokens_;
};

/// Does a value end here? Anything that goes on with the expression is not a literal.
bool ends_value(const Token& value, const Token& next) {
  if (next.kind == TokenKind::kEnd || next.at.line > value.at.line) return true;
  return next.kind == TokenKind::kMark && (next.text == "," || next.text == ")" || next.text == ";");
}

base::Node name_node(const Token& token) {
  base::Node node;
  node.kind = base::NodeKind::kScalar;
  node.text = token.text;
  node.at = token.at;
  return node;
}

int nesting(const std::string& mark) {
  if (mark == "(" || mark == "[" || mark == "{") return 1;
  return mark == ")" || mark == "]" || mark == "}" ? -1 : 0;
}

}  // namespace

std::vector<PythonAssignment> read_python_assignments(std::string_view text, const std::string& file,
                                                      const std::vector<std::string_view>& keys,
                                                      const std::vector<std::string_view>& named,
                                                      base::DiagnosticSink& sink) {
  const std::vector<Token> tokens = Lexer(text).run();
  const Parser parser(tokens);
  std::vector<PythonAssignment> found;
  int depth = 0;
  for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
    if (tokens[i].kind == TokenKind::kMark) depth += nesting(tokens[i].text);
    if (tokens[i].kind != TokenKind::kName) continue;
    const std::string& path = tokens[i].text;
    const std::string key = path.substr(path.rfind('.') + 1);
    const bool takes_names = std::find(named.begin(), named.end(), key) != named.end();
    if (!takes_names && std::find(keys.begin(), keys.end(), key) == keys.end()) continue;
    std::size_t at = i + 2;
    // "a.x, a.y = 1, 2" is no assignment of 1 to a.y.
    const bool one_of_several =
        depth == 0 && i > 0 && tokens[i - 1].kind == TokenKind::kMark && tokens[i - 1].text == ",";
    const bool assigns = !one_of_several && tokens[i + 1].kind == TokenKind::kMark &&
                         tokens[i + 1].text == "=" && at < tokens.size();
    auto value = assigns ? parser.literal(at) : std::nullopt;
    if (takes_names) {  // else it is only spoken of
      if (assigns && !value && tokens[at].kind == TokenKind::kName) value = name_node(tokens[at]);
      if (value) found.push_back({path, key, tokens[i].at, std::move(*value)});
      continue;
    }
    if (!value || !ends_value(tokens[at - 1], tokens[at])) {
      sink.add({file, tokens[i].at, key, fmt::format("{} is not set to a plain value", key),
                "expressions are not computed; write the number or text itself"});
      continue;
    }
    found.push_back({path, key, tokens[i].at, std::move(*value)});
  }
  return found;
}

}  // namespace moeplan::planner
