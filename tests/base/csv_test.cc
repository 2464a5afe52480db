#include "base/csv.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/input_error.h"

namespace moeplan::base {
namespace {

using ::testing::ElementsAre;

std::string error_of(const std::string& text) {
  return test::input_error_of([&] { parse_csv(text, "f.csv"); });
}

TEST(CsvTest, cells_are_found_by_row_and_column_name) {
  const CsvTable t = parse_csv("layer,e0,e1\n0,5,6\n1,7,8\n", "f.csv");
  EXPECT_EQ(t.file(), "f.csv");
  EXPECT_THAT(t.header(), ElementsAre("layer", "e0", "e1"));
  ASSERT_EQ(t.rows(), 2U);
  EXPECT_EQ(t.cell(1, t.require_column("e1")), "8");
  EXPECT_EQ(t.column("e2"), std::nullopt);
  EXPECT_EQ(t.line(1), 3);
}

TEST(CsvTest, quoted_cells_hold_commas_quotes_and_line_ends) {
  const CsvTable t = parse_csv("a,b\n\"x,y\",\"say \"\"hi\"\"\"\n\"two\nlines\",\"\"\nlast,1", "f.csv");
  ASSERT_EQ(t.rows(), 3U);
  EXPECT_EQ(t.cell(0, 0), "x,y");
  EXPECT_EQ(t.cell(0, 1), "say \"hi\"");
  EXPECT_EQ(t.cell(1, 0), "two\nlines");
  EXPECT_EQ(t.cell(1, 1), "");
  EXPECT_EQ(t.line(2), 5);  // the quoted line end counts
  EXPECT_EQ(t.cell(2, 1), "1");
}

TEST(CsvTest, what_is_quoted_for_writing_reads_back) {
  for (const std::string text : {"plain", "a,b", "say \"hi\"", "two\nlines", "", "\r"}) {
    const CsvTable t = parse_csv("h,i\n" + csv_cell(text) + ",x\n", "f.csv");
    EXPECT_EQ(t.cell(0, 0), text);
  }
  EXPECT_EQ(csv_cell("plain"), "plain");
  EXPECT_EQ(csv_cell("say \"hi\""), "\"say \"\"hi\"\"\"");
}

TEST(CsvTest, marks_comments_blank_lines_and_windows_line_ends_are_skipped) {
  const CsvTable t = parse_csv("\xEF\xBB\xBF# measured\r\na,b\r\n\r\n1,2\r\n# note, with comma\r\n3,4\r\n", "f.csv");
  EXPECT_THAT(t.header(), ElementsAre("a", "b"));
  ASSERT_EQ(t.rows(), 2U);
  EXPECT_EQ(t.cell(1, 1), "4");
  EXPECT_EQ(t.line(0), 4);
  EXPECT_EQ(t.line(1), 6);
}

TEST(CsvTest, rows_of_another_width_are_told_all_together) {
  EXPECT_EQ(error_of("a,b\n1\n1,2\n1,2,3\n"),
            "f.csv:2:1: error: found 1 cells, expected 2 as in the header\nf.csv:4:1: error: found 3 cells, expected 2 as in the header");
}

TEST(CsvTest, a_column_name_that_stands_twice_is_a_fault) {
  EXPECT_EQ(error_of("src,bytes,src\n"), "f.csv:1:11: error: column \"src\" stands twice");
  EXPECT_EQ(error_of("a,,\n1,2,3\n"), "no error");  // columns without a name cannot be asked for
}

TEST(CsvTest, a_missing_column_is_told_with_the_nearest) {
  const CsvTable t = parse_csv("# c\nsource,bytes\n1,2\n", "f.csv");
  EXPECT_EQ(test::input_error_of([&] { t.require_column("byte"); }),
            "f.csv:2:1: error: column \"byte\" is missing\n    hint: there is a column \"bytes\"");
  EXPECT_EQ(test::input_error_of([&] { t.require_column("finish_s"); }), "f.csv:2:1: error: column \"finish_s\" is missing");
}

TEST(CsvTest, a_cell_that_is_no_number_is_told_at_its_place) {
  const CsvTable t = parse_csv("src,bytes\n0,12\n\"1\",many\n2,1.5\n", "f.csv");
  DiagnosticSink sink;
  EXPECT_EQ(t.number(0, 1, sink), 12.0);
  EXPECT_EQ(t.integer(1, 0, sink), 1);
  EXPECT_EQ(t.number(1, 1, sink), 0.0);
  EXPECT_EQ(t.integer(2, 1, sink), 0);
  EXPECT_EQ(test::input_error_of([&] { sink.throw_if_any(); }),
            "f.csv:3:5: error: found \"many\", expected a number\n    in bytes\n"
            "f.csv:4:3: error: found \"1.5\", expected a whole number\n    in bytes");
}

TEST(CsvTest, quotes_that_do_not_fit_are_faults) {
  EXPECT_EQ(error_of("a,b\n1,\"open\n2,3\n"), "f.csv:2:3: error: a quoted cell has no end");
  EXPECT_EQ(error_of("a,b\n\"x\"y,2\n"),
            "f.csv:2:4: error: found text after the closing quote of a cell\n    hint: write a quote inside a quoted cell as \"\"");
}

TEST(CsvTest, an_empty_file_and_binary_bytes_are_faults) {
  EXPECT_EQ(error_of(""), "f.csv:1:1: error: the file is empty, expected a table with a header");
  EXPECT_EQ(error_of(std::string("a,b\n1,\0\n", 8)), "f.csv:2:3: error: found byte 0x00, expected text in UTF-8\n    hint: is this the right file?");
  EXPECT_EQ(error_of("# only comments\n"), "no error");
  EXPECT_EQ(test::input_error_of([] { parse_csv("# only comments\n", "f.csv").require_column("a"); }),
            "f.csv:1:1: error: column \"a\" is missing");
}

TEST(CsvTest, ten_megabytes_of_garbage_stop_after_twenty_faults) {
  const std::string error = error_of("a,b\n" + test::repeated("x\n", 10'000'000));
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 19);
  EXPECT_EQ(error.substr(0, 63), "f.csv:2:1: error: found 1 cells, expected 2 as in the header\nf.");
}

}  // namespace
}  // namespace moeplan::base
