#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/document.h"

namespace moeplan::planner {

/// One word of a command, after quotes and variables, with the place where it was written.
struct ShellWord {
  std::string text;
  base::Position at;
  /// Variables in it that have no value here; their names stay in the text as ${NAME}.
  std::vector<std::string> unresolved;
};

/// What a launch script holds that we can use without running it.
struct ShellText {
  std::vector<std::vector<ShellWord>> commands;  ///< simple commands, variables expanded
  std::map<std::string, std::string> variables;  ///< plain assignments
  std::map<std::string, std::vector<ShellWord>> arrays;
};

/// Reads a shell script or a bare list of arguments: quotes, backslashes, comments, line continuations,
/// NAME=value, NAME=(words), NAME+=(words), $NAME, ${NAME}, ${NAME:-default}, "${NAME[@]}". `variables` are known
/// beforehand and win over assignments in the text.
/// Not modelled: control flow (every branch is read, the last assignment wins), command substitution, arithmetic;
/// what depends on them stays unresolved.
ShellText read_shell(std::string_view text, const std::map<std::string, std::string>& variables = {});

/// `word` as one shell word: bare where that is safe, else in single quotes.
std::string shell_quote(std::string_view word);

}  // namespace moeplan::planner
