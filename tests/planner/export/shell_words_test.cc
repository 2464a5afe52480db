#include "planner/export/shell_words.h"

#include <gtest/gtest.h>

namespace moeplan::planner {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> out;
  for (const auto& command : read_shell(text).commands) {
    for (const ShellWord& word : command) out.push_back(word.text);
  }
  return out;
}

using Words = std::vector<std::string>;

TEST(ShellWords, QuotesAndBackslashesAreRemoved) {
  EXPECT_EQ(words("run 'a b' \"c d\" e\\ f"), (Words{"run", "a b", "c d", "e f"}));
}

TEST(ShellWords, CommentsAndContinuedLinesVanish) {
  EXPECT_EQ(words("run --a 1 \\\n    --b 2 # the rest\n# all\n"), (Words{"run", "--a", "1", "--b", "2"}));
}

TEST(ShellWords, VariablesExpandWithDefaults) {
  EXPECT_EQ(words("TP=4\nPP=${PP:-8}\nrun --tp $TP --pp \"${PP}\""), (Words{"run", "--tp", "4", "--pp", "8"}));
}

TEST(ShellWords, AnUnquotedVariableSplitsAtBlanks) {
  EXPECT_EQ(words("ARGS=\"--a 1 --b 2\"\nrun $ARGS"), (Words{"run", "--a", "1", "--b", "2"}));
}

TEST(ShellWords, ArraysGrowAndExpand) {
  EXPECT_EQ(words("A=(\n  --x 1 # one\n  --y 'p|q'\n)\nA+=(--z)\nrun ${A[@]} \"${A[@]}\" end"),
            (Words{"run", "--x", "1", "--y", "p|q", "--z", "--x", "1", "--y", "p|q", "--z", "end"}));
}

TEST(ShellWords, AVariableWithoutAValueIsNamed) {
  const ShellText text = read_shell("run --tp $TP");
  ASSERT_EQ(text.commands.size(), 1U);
  EXPECT_EQ(text.commands[0][2].unresolved, (Words{"TP"}));
  EXPECT_EQ(read_shell("run --tp $TP", {{"TP", "2"}}).commands[0][2].text, "2");
}

TEST(ShellWords, CommandSubstitutionStaysUnresolved) {
  EXPECT_FALSE(read_shell("run --n $(nproc)").commands[0][2].unresolved.empty());
  EXPECT_FALSE(read_shell("run --n $((4*2))").commands[0][2].unresolved.empty());
}

TEST(ShellWords, ABareListKeepsBarsAndBrackets) {
  EXPECT_EQ(words("--layout Et|(tt|)*30mL\n--freq ([0]*3+[1]*58)"), (Words{"--layout", "Et|(tt|)*30mL", "--freq", "([0]*3+[1]*58)"}));
}

TEST(ShellWords, WordsRememberTheirPlace) {
  const ShellText text = read_shell("A=(\n  --x 12\n)\nrun \"${A[@]}\"");
  EXPECT_EQ(text.commands[0][2].at, (base::Position{2, 7}));
}

TEST(ShellWords, QuotingAndReadingGiveTheSameWord) {
  for (const std::string word : {"plain", "Et|(tt|)*30mL", "([0]*3+[1]*58)", "it's", "a b", "$HOME", "", "--x=1"}) {
    EXPECT_EQ(words("run " + shell_quote(word)), word.empty() ? Words{"run"} : (Words{"run", word})) << word;
  }
}

}  // namespace
}  // namespace moeplan::planner
