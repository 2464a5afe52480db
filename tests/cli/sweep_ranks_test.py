#!/usr/bin/env python3
"""Two ranks of mpirun, and the tasks of a Slurm array, against one process: the same tables.

    sweep_ranks_test.py MOEPLAN [MPIEXEC NUMPROC_FLAG]
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RUN = "name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n"
PLAN = "name: two-stages\nlayout: {tp: 1, pp: 2, ep: 4, dp: 4}\nmicro_batch: 1\n"
SWEEP = """name: ranks
verb: simulate
base: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}
axes:
  - cluster.node.nvlink.bandwidth: [100 GB/s, 200 GB/s, 300 GB/s, 450 GB/s]
  - load: [uniform, "zipf:0.5", "zipf:1.0", "lognormal:0.6", "lognormal:1.35"]
  - run.global_batch: [32, 64]
  - plan.micro_batch: [1, 2, 4, 8, 16]
"""
TABLES = ("points.csv", "points.json")


def call(command, **variables):
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def tables(folder):
    return [(folder / name).read_bytes() for name in TABLES]


def main():
    moeplan, launcher = sys.argv[1], sys.argv[2:4]
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for file, text in (("run.yaml", RUN), ("plan.yaml", PLAN), ("sweep.yaml", SWEEP)):
            (work / file).write_text(text)
        sweep = [moeplan, "sweep", work / "sweep.yaml", "-q", "--threads", "1", "--json", "-o"]
        alone = call([*sweep, work / "alone"])
        if launcher:
            together = call([*launcher, "2", *sweep, work / "ranks"])
            assert together == alone, "two ranks print something else than one process"
            assert tables(work / "ranks") == tables(work / "alone"), "two ranks write other tables than one process"
            assert len(list((work / "ranks" / "shards").glob("part-*-of-0002.sqlite"))) == 2, "not two shards"
        outputs = [
            call([*sweep, work / "array"], SLURM_ARRAY_TASK_ID=str(task), SLURM_ARRAY_TASK_COUNT="3",
                 SLURM_ARRAY_TASK_MIN="2", SLURM_ARRAY_TASK_MAX="6", SLURM_ARRAY_TASK_STEP="2")
            for task in (4, 2, 6)
        ]
        assert outputs == ["", "", alone], "the last task of an array, and it alone, prints the whole"
        assert tables(work / "array") == tables(work / "alone"), "an array writes other tables than one process"
    print("the same tables")


if __name__ == "__main__":
    main()
