#include "base/node_path.h"

#include <gtest/gtest.h>

namespace moeplan::base {
namespace {

const char* const kText =
    "name: a\nnode:\n  nics: {bandwidth: 400 Gb/s, count: 8}\ndegraded:\n  - {link: x}\n  - {link: y}\n";

NodeSearch find(Node& root, std::string_view path) { return find_node(root, *parse_node_path(path)); }

TEST(NodePathTest, a_path_leads_through_maps_and_lists) {
  Document document = parse_yaml(kText, "t.yaml");
  EXPECT_EQ(find(document.root, "node.nics.bandwidth").node->text, "400 Gb/s");
  EXPECT_EQ(find(document.root, "degraded[1].link").node->text, "y");
  EXPECT_EQ(find(document.root, "degraded").node->items.size(), 2U);
}

TEST(NodePathTest, what_is_no_path_is_told) {
  for (const char* text :
       {"", ".", "a.", ".a", "a..b", "a[", "a[x]", "a[-1]", "a[0]b", "a.[0]", "a[99999999999]"})
    EXPECT_FALSE(parse_node_path(text)) << text;
  EXPECT_EQ(parse_node_path("a[0][1].b")->size(), 4U);
}

TEST(NodePathTest, a_step_that_is_not_there_names_the_nearest_key) {
  Document document = parse_yaml(kText, "t.yaml");
  const NodeSearch near = find(document.root, "node.nic.bandwidth");
  EXPECT_EQ(near.node, nullptr);
  EXPECT_EQ(near.message, "there is no key \"nic\" in node");
  EXPECT_EQ(near.hint, "did you mean \"nics\"?");
  EXPECT_EQ(find(document.root, "zzzzzzzz").hint, "there are name, node, degraded");
  EXPECT_EQ(find(document.root, "name.x").message, "there is no key \"x\" in name, which is a single value");
  EXPECT_EQ(find(document.root, "degraded[2]").message, "degraded has 2 items, which are numbered from 0");
  EXPECT_EQ(find(document.root, "node[0]").message, "node is a map, which has no item 0");
}

TEST(NodePathTest, the_flow_text_is_one_line) {
  Document document = parse_yaml(kText, "t.yaml");
  EXPECT_EQ(flow_text(document.root),
            "{name: a, node: {nics: {bandwidth: 400 Gb/s, count: 8}}, degraded: [{link: x}, {link: y}]}");
}

TEST(NodePathTest, the_canonical_text_knows_content_and_not_order_or_place) {
  const auto text = [](const char* yaml) { return canonical_text(parse_yaml(yaml, "t.yaml").root); };
  EXPECT_EQ(text("a: 1\nb: [x, y]\n"), text("# a comment\nb:\n  - x\n  - y\na:   1\n"));
  EXPECT_NE(text("a: 1\n"), text("a: \"1\"\n"));
  EXPECT_NE(text("a: [x, y]\n"), text("a: [y, x]\n"));
  EXPECT_NE(text("a: [x, y]\n"), text("a: [\"x, y\"]\n"));
  EXPECT_NE(text("a: null\n"), text("a: \"\"\n"));
  EXPECT_NE(text("a: {}\n"), text("a: []\n"));
}

}  // namespace
}  // namespace moeplan::base
