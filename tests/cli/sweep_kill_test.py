#!/usr/bin/env python3
"""A sweep of 1,000 points, killed (SIGKILL) ten times at random moments and resumed, exports the bytes of an undisturbed one; so do
one thread, a run ended by SIGTERM, and two processes under mpirun.

    sweep_kill_test.py MOEPLAN kills|mpi

Exit code 77: nothing to start processes with.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

KILLS = 10


def write_inputs(folder):
    with open(os.path.join(folder, "run.yaml"), "w") as f:
        f.write("name: small\nglobal_batch: 32\nseq_len: 1024\noptimizer: adam\n")
    with open(os.path.join(folder, "plan.yaml"), "w") as f:
        f.write("name: p\nlayout: {tp: 1, pp: 2, ep: 4, dp: 4}\nmicro_batch: 1\n")
    loads = ", ".join('"zipf:%.1f"' % (0.1 * i) for i in range(1, 11))
    rates = ", ".join("%d GB/s" % (50 * i) for i in range(1, 21))
    with open(os.path.join(folder, "sweep.yaml"), "w") as f:
        f.write("name: kills\nbase: {cluster: hgx-h100-1n, model: tiny-moe, run: run.yaml, plan: plan.yaml}\naxes:\n"
                "  - load: [%s]\n  - cluster.node.nvlink.bandwidth: [%s]\n  - run.global_batch: [8, 16, 32, 64, 128]\n" % (loads, rates))


def read(folder, name="points.csv"):
    with open(os.path.join(folder, name), "rb") as f:
        return f.read()


def main():
    program, what = os.path.abspath(sys.argv[1]), sys.argv[2]
    folder = tempfile.mkdtemp(prefix="moeplan-sweep-")
    try:
        write_inputs(folder)

        def command(out, *more):
            return [program, "sweep", "sweep.yaml", "-o", out, "-q", *more]

        def run(*arguments, **more):
            subprocess.run(arguments, cwd=folder, check=True, stdout=subprocess.DEVNULL, **more)

        begin = time.monotonic()
        run(*command("whole"))
        seconds = time.monotonic() - begin
        whole = read(os.path.join(folder, "whole"))
        assert whole.count(b"\n") == 1001, "expected 1,000 points"

        if what == "mpi":
            if not shutil.which("mpirun"):
                print("no mpirun here")
                return 77
            environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
            run("mpirun", "--oversubscribe", "-n", "2", *command("ranks", "--threads", "1"), env=environment)
            shards = os.listdir(os.path.join(folder, "ranks", "shards"))
            assert sorted(shards) == ["part-0-of-2.sqlite", "part-1-of-2.sqlite"], shards
            assert read(os.path.join(folder, "ranks")) == whole, "two ranks wrote other bytes than one process"
            return 0

        run(*command("one", "--threads", "1"))
        assert read(os.path.join(folder, "one")) == whole, "one thread wrote other bytes"

        moments = random.Random(1)
        killed = 0
        for attempt in range(100):
            more = ["--resume"] if attempt else []
            process = subprocess.Popen(command("killed", *more), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            # Short enough that ten kills leave something to do.
            time.sleep(moments.uniform(0.02, 0.02 + seconds / (1.5 * KILLS)))
            if process.poll() is None and killed < KILLS:
                # Once in between the polite way.
                process.send_signal(signal.SIGTERM if killed == KILLS // 2 else signal.SIGKILL)
                killed += 1
            error = process.communicate()[1].decode()
            assert process.returncode in (0, -signal.SIGKILL, 130, -signal.SIGTERM), error
            if process.returncode == 0:
                break
        assert killed >= KILLS // 2, "only %d kills" % killed
        assert read(os.path.join(folder, "killed")) == whole, "killed and resumed wrote other bytes"
        print("%d kills in a sweep of %.2f s" % (killed, seconds))
        return 0
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
