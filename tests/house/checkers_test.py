"""The house checkers find what they are for: each test breaks one rule in a small tree and reads the message."""
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


class Tree:
    """A temporary source tree."""

    def __init__(self, files):
        self.folder = tempfile.TemporaryDirectory()
        for name, text in files.items():
            path = Path(self.folder.name) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def run(self, script, *arguments):
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / script), *arguments, self.folder.name], capture_output=True, text=True)
        self.folder.cleanup()
        return done.returncode, done.stdout


HEADER = "#pragma once\n"


class CheckLayers(unittest.TestCase):
    def assert_fault(self, files, message):
        code, output = Tree(files).run("check_layers")
        self.assertEqual(output, message + "\n")
        self.assertEqual(code, 1)

    def test_a_tree_in_order_passes(self):
        code, output = Tree({
            "base/a.h": HEADER + "#include <vector>\n",
            "topology/b.h": HEADER + '#include "base/a.h"\n',
            "topology/b.cc": '#include "topology/b.h"\n#include <boost/graph/adjacency_list.hpp>\n#include <fmt/format.h>\n',
            "base/files.cc": "#include <unistd.h>\n#include <yaml-cpp/yaml.h>\n",
        }).run("check_layers")
        self.assertEqual((code, output), (0, "layers, fences and lengths hold\n"))

    def test_an_include_upward_is_a_fault(self):
        self.assert_fault({"base/a.h": HEADER + '#include "topology/b.h"\n', "topology/b.h": HEADER},
                          'base/a.h:2: includes "topology/b.h": base must not know topology')

    def test_the_network_knows_nothing_of_the_workload(self):
        self.assert_fault({"sim/network/a.cc": '#include "sim/workload/b.h"\n', "sim/workload/b.h": HEADER},
                          'sim/network/a.cc:1: includes "sim/workload/b.h": sim/network must not know sim/workload')

    def test_yaml_outside_base_is_a_fault(self):
        self.assert_fault({"sim/cost/a.cc": "#include <yaml-cpp/yaml.h>\n"},
                          r"sim/cost/a.cc:1: includes <yaml-cpp/yaml.h>, which only base/\w+\.cc may")

    def test_json_in_a_header_of_base_is_a_fault(self):
        self.assert_fault({"base/a.h": HEADER + "#include <nlohmann/json.hpp>\n"},
                          r"base/a.h:2: includes <nlohmann/json.hpp>, which only base/\w+\.cc may")

    def test_fmt_in_a_header_is_a_fault(self):
        self.assert_fault({"sim/cost/a.h": HEADER + "#include <fmt/format.h>\n"},
                          r"sim/cost/a.h:2: includes <fmt/format.h>, which only .*\.cc may")

    def test_an_unknown_library_is_a_fault(self):
        self.assert_fault({"base/a.cc": "#include <curl/curl.h>\n"},
                          "base/a.cc:1: includes <curl/curl.h>, which is on no list of third-party headers "
                          "(scripts/check_layers, FENCES)")

    def test_an_include_of_a_missing_file_is_a_fault(self):
        self.assert_fault({"base/a.cc": '#include "a.h"\n'},
                          'base/a.cc:1: includes "a.h", which is no file; includes are relative to the root')

    def test_a_header_without_a_guard_is_a_fault(self):
        self.assert_fault({"base/a.h": "struct A {};\n"}, "base/a.h:1: a header without #pragma once")

    def test_a_file_of_601_lines_is_a_fault(self):
        self.assert_fault({"base/a.cc": "\n" * 601}, "base/a.cc:601: longer than 600 lines; split it")

    def test_a_folder_outside_the_design_is_a_fault(self):
        self.assert_fault({"sim/magic/a.cc": "\n"}, "sim/magic/a.cc:1: is in no folder that the design knows")


class CheckHeaders(unittest.TestCase):
    def test_a_header_that_leans_on_its_neighbours_is_a_fault(self):
        code, output = Tree({"base/a.h": HEADER + "inline std::string f();\n", "base/b.h": HEADER}).run(
            "check_headers", "--compiler", "c++")
        self.assertEqual(code, 1)
        self.assertIn("base/a.h: does not compile alone\n", output)
        self.assertIn("1 headers compile alone, 1 do not\n", output)

    def test_only_what_a_build_compiled_first_and_as_it_stands_is_taken_as_compiled(self):
        broken = HEADER + "inline std::string f();\n"
        built = {"first": "c++ -c", "second": "c++ -c", "forced": "c++ -include all.h -c", "old": "c++ -c", "unbuilt": "c++ -c"}
        files = {f"base/{name}.h": broken for name in [*built, "missing"]}
        files |= {f"base/{name}.cc": f'#include "base/{name}.h"\n' for name in [*built, "missing"]}
        files["base/second.cc"] = '#include <string>\n#include "base/second.h"\n'
        tree = Tree(files)
        (Path(tree.folder.name) / "compile_commands.json").write_text(json.dumps(
            [{"directory": tree.folder.name, "command": f"{command} base/{name}.cc -o {name}.o", "file": f"base/{name}.cc"}
             for name, command in built.items()]))
        for name in built.keys() - {"unbuilt"}:
            (Path(tree.folder.name) / f"{name}.o").touch()
        os.utime(Path(tree.folder.name) / "old.o", (1, 1))
        code, output = tree.run("check_headers", "--compiler", "c++", "--build", tree.folder.name)
        self.assertEqual(code, 1)
        self.assertIn("1 headers came first in a source that was built\n", output)
        for name in ["second", "forced", "old", "unbuilt", "missing"]:
            self.assertIn(f"base/{name}.h: does not compile alone\n", output)
        self.assertIn("0 headers compile alone, 5 do not\n", output)


class CheckWords(unittest.TestCase):
    def test_a_machine_path_is_a_fault(self):
        code, output = Tree({"docs/a.md": "see /ho" + "me/jo/file\n"}).run("check_words")
        self.assertEqual((code, output), (1, 'docs/a.md:1: "/ho' + 'me/jo/" is a path of one machine\n'))

    def test_unfinished_work_is_a_fault(self):
        code, output = Tree({"base/a.cc": "// TO" + "DO later\n"}).run("check_words")
        self.assertEqual((code, output), (1, 'base/a.cc:1: "TO' + 'DO" is unfinished work; write an issue instead\n'))

    def test_a_missing_line_end_is_a_fault(self):
        code, output = Tree({"a.md": "text"}).run("check_words")
        self.assertEqual((code, output), (1, "a.md: does not end in a line end\n"))


if __name__ == "__main__":
    unittest.main()
