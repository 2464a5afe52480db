#!/usr/bin/env python3
"""The frameworks' own code on what `moeplan export` writes, and a PyTorch network through a permuted checkpoint and a map with replicas.

    frameworks_test.py MOEPLAN [--environment FOLDER] [--only WORD]

Makes a virtual environment (kept in FOLDER for the next time) with the packages below, exports small plans, and runs the checks beside
this file in it. A package that cannot be installed on this machine skips its checks, and says why; a check that fails fails the test.
Exit code 77: nothing could be installed at all, as without a way to PyPI. Packages come from where pip is set up to look; PyPI's torch
brings CUDA and takes some 8 GB. With PyTorch's index of CPU builds in PIP_EXTRA_INDEX_URL pip takes those, and 2 GB.
"""
import argparse
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SKIPPED = 77

# name, packages, further arguments of pip
PACKAGES = [
    ("numpy", ["numpy==2.2.6"], []),
    ("torch", ["torch==2.9.1", "safetensors==0.6.2", "packaging==25.0"], []),
    ("megatron-core", ["megatron-core==0.16.1"], []),
    ("deepspeed", ["setuptools==80.9.0", "wheel==0.45.1", "einops==0.8.1", "hjson==3.1.0", "msgpack==1.1.1", "ninja==1.11.1.4", "psutil==7.0.0",
                   "py-cpuinfo==9.0.0", "pydantic==2.11.7", "tqdm==4.67.1"], []),
    # Its set-up asks an installed torch; no kernels are built.
    ("deepspeed", ["deepspeed==0.19.8"], ["--no-build-isolation", "--no-deps"]),
    ("torchtitan", ["tyro==0.9.35", "spmd_types==0.2.3"], []),
    ("torchtitan", ["torchtitan==0.3.0"], ["--no-deps"]),
    ("hetu-galvatron", ["scipy==1.15.3"], []),
    ("hetu-galvatron", ["hetu-galvatron==2.4.0"], ["--no-build-isolation", "--no-deps"]),
    ("sglang", ["sglang==0.5.5"], ["--no-deps", "--only-binary", ":all:"]),
]

PLAN = """name: tiny
layout: {tp: 1, pp: 1, ep: 8, dp: 8}
micro_batch: 1
"""
PIPELINE = """name: pipeline
layout: {tp: 2, pp: 2, ep: 2, dp: 2, edp: 2}
micro_batch: 1
"""
RUN = "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n"


class Environment:
    def __init__(self, folder):
        self.folder = folder
        self.python = os.path.join(folder, "bin", "python")
        self.failed = {}

    def pip(self, packages, arguments, timeout=1800):
        """What went wrong; None: nothing."""
        command = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments, *packages]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False,
                                  env=dict(os.environ, DS_BUILD_OPS="0", DS_BUILD_STRING=""))
        except subprocess.TimeoutExpired:
            return "pip took more than %d s" % timeout
        lines = (done.stderr.strip() or done.stdout.strip() or "pip failed").splitlines()
        return None if done.returncode == 0 else next((line for line in lines if "rror" in line), lines[-1])

    def make(self):
        if not os.path.exists(self.python):
            subprocess.run([sys.executable, "-m", "venv", self.folder], check=True)
        for name, packages, arguments in PACKAGES:
            if name in self.failed or ("torch" in self.failed and name != "numpy"):
                self.failed.setdefault(name, "needs torch")
                continue
            why = self.pip(packages, arguments)
            if why is not None:
                self.failed[name] = why

    def version(self, package):
        text = "import importlib.metadata as m; print(m.version(%r))" % package
        return subprocess.run([self.python, "-c", text], capture_output=True, text=True, check=False).stdout.strip()


class Exports:
    """Small plans, and what moeplan writes for them."""

    def __init__(self, moeplan, folder):
        self.moeplan, self.folder = moeplan, folder
        for name, text in (("plan.yaml", PLAN), ("pipeline.yaml", PIPELINE), ("run.yaml", RUN)):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)
        placed = ["place", "--cluster", "hgx-h100-1n", "--model", "tiny-moe", "--load", "zipf:1.2", "--plan", self.path("plan.yaml"), "--no-compare"]
        self.call(*placed, "-o", self.path("placed.yaml"))
        self.call(*placed, "--slots-per-gpu", "3", "-o", self.path("replicas.yaml"))
        for plan, targets in (("placed", ("deepspeed", "torchtitan", "megatron-bridge", "galvatron")), ("replicas", ("sglang", "eplb"))):
            for target in targets:
                self.export(plan, target)
        self.export("pipeline", "chakra", "--cluster", "hgx-h100-1n")

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def call(self, *arguments):
        subprocess.run([self.moeplan, *arguments], check=True, stdout=subprocess.DEVNULL)

    def export(self, plan, target, *arguments):
        self.call("export", self.path(plan + ".yaml"), "--to", target, "--model", "tiny-moe", "--run", self.path("run.yaml"), *arguments,
                  "-o", self.path(target))


def checks(exports):
    """(package, file, arguments)"""
    for folder in ("permutation", "trace"):
        os.makedirs(exports.path(folder))
    return [
        ("numpy", "check_eplb.py", [exports.path("eplb"), "16", "24"]),
        ("torch", "check_permutation.py", [os.path.join(ROOT, "scripts", "permute_experts.py"),
                                           exports.path("torchtitan", "expert-permutation.json"), exports.path("permutation")]),
        ("torch", "check_replicas.py", [exports.path("sglang", "expert-location.json"), "8"]),
        ("torch", "check_trace.py", [exports.moeplan, exports.path("plan.yaml"), exports.path("run.yaml"), exports.path("trace")]),
        ("megatron-core", "check_megatron_core.py", [exports.path("megatron-bridge", "overrides.yaml"),
                                                     exports.path("chakra", "comm-groups.json")]),
        ("deepspeed", "check_deepspeed.py", [exports.path("deepspeed", "ds_config.json")]),
        ("torchtitan", "check_torchtitan.py", [exports.path("torchtitan", "planned.py")]),
        ("hetu-galvatron", "check_galvatron.py", [exports.path("galvatron", "galvatron.json")]),
        ("sglang", "check_sglang.py", [exports.path("sglang", "expert-location.json"), "8", "16"]),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("moeplan")
    parser.add_argument("--environment", default=os.path.join(os.getcwd(), "frameworks-environment"), help="folder of the virtual environment")
    parser.add_argument("--only", default="", help="checks whose package or file holds this word")
    arguments = parser.parse_args()
    environment = Environment(os.path.abspath(arguments.environment))
    environment.make()
    if "numpy" in environment.failed:
        print("skipped: no package can be installed here (is PyPI reachable?): %s" % environment.failed["numpy"])
        return SKIPPED
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as folder:
        for package, file, its_arguments in checks(Exports(os.path.abspath(arguments.moeplan), folder)):
            if arguments.only not in package and arguments.only not in file:
                continue
            if package in environment.failed:
                skipped += 1
                print("skipped %s: %s cannot be installed: %s" % (file, package, environment.failed[package]))
                continue
            done = subprocess.run([environment.python, os.path.join(HERE, file), *its_arguments], capture_output=True, text=True, check=False, cwd=folder,
                                  env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
            said = (done.stdout.strip().splitlines() or [""])[-1]
            if done.returncode == 0:
                passed += 1
                print("passed %s (%s %s): %s" % (file, package, environment.version(package), said))
            else:
                failed += 1
                print("failed %s (%s %s):\n%s" % (file, package, environment.version(package), done.stderr.strip()[-3000:]))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
