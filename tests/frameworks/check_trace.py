"""A trace that PyTorch's profiler wrote, here of a step without a GPU: `explain` reads it to its end and says what it lacks;
with kernels put beside its launches it tells forward and backward apart.

    check_trace.py MOEPLAN PLAN RUN FOLDER
"""
import gzip
import json
import os
import subprocess
import sys

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

import tiny_moe

moeplan, plan, run, folder = sys.argv[1:]
JOB = ["--cluster", "hgx-h100-1n", "--model", "tiny-moe", "--run", run]


def refused(trace):
    done = subprocess.run([moeplan, "explain", *JOB, "--plan", plan, "--rank", "0", "--measured", trace], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == "", done
    return done.stderr


network = tiny_moe.TinyMoe()
optimizer = torch.optim.Adam(network.parameters())
tokens = torch.randint(0, tiny_moe.VOCABULARY, (33,))
path = os.path.join(folder, "trace.json")
with profile(activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=1, active=6), with_stack=False,
             on_trace_ready=lambda p: p.export_chrome_trace(path)) as profiler:
    for _ in range(8):
        with record_function("layers.0"):
            tiny_moe.train_step(network, optimizer, tokens)
        profiler.step()
with open(path, encoding="utf-8") as file:
    text = file.read()
events = json.loads(text)["traceEvents"]
steps = [e for e in events if e.get("name", "").startswith("ProfilerStep#") and e.get("ph") == "X"]
assert len(steps) == 6 and all({"ts", "dur", "cat"} <= set(e) for e in steps)
assert "found no GPU work" in refused(path)
with gzip.open(path + ".gz", "wt", encoding="utf-8") as file:
    file.write(text)
assert "found no GPU work" in refused(path + ".gz")
with open(path, "w", encoding="utf-8") as file:
    file.write(text[:len(text) * 2 // 3])
assert "not valid JSON, or cut short" in refused(path)

# A kernel for each of the profiler's own launch-like events makes it a trace of a GPU, in PyTorch's own frame.
whole = json.loads(text)
products = [e for e in events if e.get("name") == "aten::mm" and e.get("ph") == "X"]
for number, event in enumerate(products):
    whole["traceEvents"].append({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": event["pid"], "tid": event["tid"], "ts": event["ts"],
                                 "dur": 0.1, "args": {"correlation": number}})
    whole["traceEvents"].append({"ph": "X", "cat": "kernel", "name": "nvjet_tst_128x64", "pid": 0, "tid": 7, "ts": event["ts"], "dur": event["dur"],
                                 "args": {"device": 0, "stream": 7, "correlation": number}})
with open(path, "w", encoding="utf-8") as file:
    json.dump(whole, file)
done = subprocess.run([moeplan, "explain", *JOB, "--plan", plan, "--rank", "0", "--measured", path, "--json"], capture_output=True, text=True, check=True)
found = json.loads(done.stdout)
assert found["step_numbers"] == sorted(int(e["name"].split("#")[1]) for e in steps), found["step_numbers"]
parts = {part["part"]: part["measured_s"] for part in found["parts"]}
assert parts["forward"] > 0 and parts["backward"] > 0, parts
lost = sum(c["lost_s"] for c in found["classes"])
assert abs(lost - (found["measured_s"] - found["predicted_s"])) < 1e-9
print("%d events, %d steps: products told apart as forward and backward" % (len(events), len(steps)))
