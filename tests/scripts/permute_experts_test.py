#!/usr/bin/env python3
"""A small MoE network computes the same before and after scripts/permute_experts.py, and what would change it is refused."""
import importlib.util
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "permute_experts.py")
EXPERTS, HIDDEN, WIDTH, TOP = 8, 4, 3, 2
ORDER = [3, 5, 0, 1, 2, 4, 6, 7]


def flatten(values):
    return [x for row in values for x in flatten(row)] if isinstance(values, list) else [values]


def shape_of(values):
    return [len(values)] + shape_of(values[0]) if isinstance(values, list) else []


def save(path, tensors):
    header, data = {}, b""
    for name, values in tensors.items():
        raw = struct.pack("<%dd" % len(flatten(values)), *flatten(values))
        header[name] = {"dtype": "F64", "shape": shape_of(values), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def load(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    header.pop("__metadata__", None)

    def shaped(flat, shape):
        if len(shape) == 1:
            return list(flat)
        step = len(flat) // shape[0]
        return [shaped(flat[i * step:(i + 1) * step], shape[1:]) for i in range(shape[0])]

    return {name: shaped(struct.unpack("<%dd" % ((t["data_offsets"][1] - t["data_offsets"][0]) // 8), data[t["data_offsets"][0]:t["data_offsets"][1]]), t["shape"])
            for name, t in header.items()}


def product(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector)) for row in matrix]


def network(tensors, vector):
    """Layer 1: scores with a bias that chooses only, top-2, weights by score; two products an expert; one shared expert."""
    prefix = "model.layers.1.mlp."
    scores = [1 / (1 + math.exp(-s)) for s in product(tensors[prefix + "gate.weight"], vector)]
    chosen = [s + b for s, b in zip(scores, tensors[prefix + "gate.e_score_correction_bias"])]
    best = sorted(range(EXPERTS), key=lambda e: -chosen[e])[:TOP]
    out = product(tensors[prefix + "shared_experts.down_proj.weight"], product(tensors[prefix + "shared_experts.up_proj.weight"], vector))
    for expert in best:
        if prefix + "experts.0.up_proj.weight" in tensors:
            up, down = (tensors[prefix + "experts.%d.%s.weight" % (expert, part)] for part in ("up_proj", "down_proj"))
        else:
            up, down = (tensors[prefix + "experts." + part][expert] for part in ("up_proj", "down_proj"))
        out = [o + scores[expert] * y for o, y in zip(out, product(down, [max(x, 0) for x in product(up, vector)]))]
    return out


class PermuteExperts(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.random = random.Random(1)
        self.write_permutation({"1": ORDER})

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def matrix(self, rows, columns):
        return [[self.random.gauss(0, 1) for _ in range(columns)] for _ in range(rows)]

    def write_permutation(self, layers):
        with open(self.path("permutation.json"), "w") as file:
            json.dump({"ep": 4, "layers": layers}, file)

    def tensors(self, fused=False):
        prefix = "model.layers.1.mlp."
        out = {"model.embed_tokens.weight": self.matrix(5, HIDDEN), "model.layers.0.mlp.gate_proj.weight": self.matrix(WIDTH, HIDDEN),
               prefix + "gate.weight": self.matrix(EXPERTS, HIDDEN), prefix + "gate.e_score_correction_bias": self.matrix(1, EXPERTS)[0],
               prefix + "shared_experts.up_proj.weight": self.matrix(WIDTH, HIDDEN), prefix + "shared_experts.down_proj.weight": self.matrix(HIDDEN, WIDTH)}
        if fused:
            out[prefix + "experts.up_proj"] = [self.matrix(WIDTH, HIDDEN) for _ in range(EXPERTS)]
            out[prefix + "experts.down_proj"] = [self.matrix(HIDDEN, WIDTH) for _ in range(EXPERTS)]
        else:
            for e in range(EXPERTS):
                out[prefix + "experts.%d.up_proj.weight" % e] = self.matrix(WIDTH, HIDDEN)
                out[prefix + "experts.%d.down_proj.weight" % e] = self.matrix(HIDDEN, WIDTH)
                out["exp_avg." + prefix + "experts.%d.up_proj.weight" % e] = self.matrix(WIDTH, HIDDEN)
        return out

    def run_script(self, *more, source="in", out="out"):
        run = subprocess.run([sys.executable, SCRIPT, self.path("permutation.json"), self.path(source), self.path(out), *more],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return run.returncode, run.stdout + run.stderr

    def write(self, tensors, files=1):
        os.makedirs(self.path("in"))
        names = list(tensors)
        for i in range(files):
            save(self.path("in/model-%d.safetensors" % i), {n: tensors[n] for n in names[i::files]})
        with open(self.path("in/model.safetensors.index.json"), "w") as file:
            json.dump({"metadata": {}, "weight_map": {n: "model-%d.safetensors" % (i % files) for i, n in enumerate(names)}}, file)
        with open(self.path("in/config.json"), "w") as file:
            json.dump({"model_type": "small"}, file)

    def read(self, folder):
        out = {}
        for name in sorted(os.listdir(self.path(folder))):
            if name.endswith(".safetensors"):
                out.update(load(self.path(folder + "/" + name)))
        return out

    def check_function(self, fused):
        tensors = self.tensors(fused)
        self.write(tensors, files=3)
        code, text = self.run_script()
        self.assertEqual(code, 0, text)
        moved = self.read("out")
        self.assertEqual(sorted(moved), sorted(tensors))
        self.assertNotEqual(moved, tensors)
        for _ in range(200):
            vector = self.matrix(1, HIDDEN)[0]
            for a, b in zip(network(tensors, vector), network(moved, vector)):
                self.assertAlmostEqual(a, b, delta=1e-12)
        with open(self.path("out/model.safetensors.index.json")) as file:
            index = json.load(file)["weight_map"]
        for name, shard in index.items():
            self.assertIn(name, load(self.path("out/" + shard)))
        self.assertTrue(os.path.isfile(self.path("out/config.json")))
        return tensors, moved

    def test_experts_by_name(self):
        tensors, moved = self.check_function(fused=False)
        for position, old in enumerate(ORDER):
            for prefix in ("", "exp_avg."):
                name = prefix + "model.layers.1.mlp.experts.%d.up_proj.weight"
                self.assertEqual(moved[name % position], tensors[name % old])

    def test_experts_in_one_tensor(self):
        self.check_function(fused=True)

    def test_the_inverse_brings_the_bytes_back(self):
        self.write(self.tensors())
        self.assertEqual(self.run_script()[0], 0)
        inverse = [ORDER.index(e) for e in range(EXPERTS)]
        self.write_permutation({"1": inverse})
        self.assertEqual(self.run_script(source="out", out="back")[0], 0)
        self.assertEqual(self.read("back"), self.read("in"))

    def test_a_dry_run_writes_nothing(self):
        self.write(self.tensors())
        code, text = self.run_script("--dry-run")
        self.assertEqual(code, 0)
        self.assertIn("1 layers: 18 tensors get another name, 2 have rows moved", text)
        self.assertFalse(os.path.exists(self.path("out")))

    def refused(self, what, *more):
        code, text = self.run_script(*more)
        self.assertEqual(code, 2)
        self.assertIn(what, text)
        self.assertFalse(os.path.exists(self.path("out")) or os.path.exists(self.path("out.partial")), text)

    def test_groups_stay_whole(self):
        self.write(self.tensors())
        self.refused("takes group 0 apart", "--groups", "4")
        self.write_permutation({"1": [6, 7, 0, 1, 3, 2, 4, 5]})
        self.assertEqual(self.run_script("--groups", "4")[0], 0)

    def test_refusals(self):
        tensors = self.tensors()
        self.write(dict(tensors, **{"model.layers.1.mlp.experts.linear.0.odd": self.matrix(3, 3)}))
        self.refused("does not begin with the 8 experts")
        save(self.path("in/model-0.safetensors"), dict(tensors, **{"model.layers.1.mlp.router.odd": self.matrix(8, 3)}))
        self.refused("is not understood")
        save(self.path("in/model-0.safetensors"), {n: t for n, t in tensors.items() if ".experts.3." not in n})
        self.refused("found weights of 7 of its 8 experts")
        save(self.path("in/model-0.safetensors"), {n: t for n, t in tensors.items() if "gate" not in n})
        self.refused("found no router weight")
        self.write_permutation({"1": [0, 0, 1, 2, 3, 4, 5, 6]})
        self.refused("expected each expert once")
        self.write_permutation({"1": ORDER})
        with open(self.path("in/model-0.safetensors"), "wb") as file:
            file.write(struct.pack("<Q", 1 << 40) + b"{}")
        self.refused("its header does not fit into it")
        with open(self.path("in/optimizer.pt"), "wb") as file:
            file.write(b"x")
        save(self.path("in/model-0.safetensors"), tensors)
        self.refused("PyTorch cannot read it" if importlib.util.find_spec("torch") else "PyTorch's own form")

    def test_what_is_there_stays(self):
        self.write(self.tensors())
        os.makedirs(self.path("out"))
        code, text = self.run_script()
        self.assertEqual(code, 2)
        self.assertIn("is there already", text)
        self.assertEqual(os.listdir(self.path("out")), [])


if __name__ == "__main__":
    unittest.main()
