"""Fused attention: causal blocks over the SMs plus the preparation that the tables hold.

    core  = (launch + max(work / sm_count + tail * longest, longest)) * exp(c(seq, batch heads, head_dim) + c(gqa))
    work  = FLOP * sm_count / (peak * efficiency);  longest = 2 (qk + v) 128 seq_kv FLOP, one block of 128 queries
    table = core + prepare * exp(the same c),  prepare = bytes of q, k, v and output / (hbm * prepare_efficiency)

The tables' operation also applies rotary embedding and writes the KV cache: the fit wants about three passes over
q, k, v and output beside the core. sim/cost/attention_model.cc is the same in C++.
"""

import collections
import csv
import math

from .fitting import bands, cross, descend, hat, median, ridge, shift, significant
from .hashing import left_out

QUERY_BLOCK = 128
PENALTY = 0.1
HEAD_NODES = (1, 2, 4, 8, 16, 32, 64, 96, 192, 384)  # batch x heads
GROUP_NODES = (1, 2, 4, 8, 16, 32, 96)  # heads / kv heads
ELEMENT = 2.0  # bf16

LAUNCH, EFFICIENCY, TAIL, PREPARE = range(4)


def load(path):
    rows, software = collections.defaultdict(list), {}
    with open(path, newline="") as file:
        for r in csv.DictReader(file):
            if r["window"] != "0" or r["dtype"] != "bfloat16":
                continue
            software[r["system"]] = (f"{r['framework']} {r['version']}", "context attention")
            rows[r["system"]].append((int(r["batch"]), int(r["seq"]), int(r["num_heads"]), int(r["num_kv_heads"]),
                                      int(r["head_dim"]), float(r["latency_us"])))
    for part in rows.values():
        part.sort()
    return rows, software


class Prepared:
    def __init__(self, device, nodes, row):
        batch, seq, heads, kv, dim, self.us = row
        self.log_us = math.log(self.us)
        us_per_flop = 1e6 / (device["peak"]["bf16"] * 1e12)
        pairs = seq * (seq + 1) / 2.0
        self.work = 2.0 * batch * heads * 2.0 * dim * pairs * us_per_flop
        self.longest = 2.0 * 2.0 * dim * min(QUERY_BLOCK, seq) * seq * us_per_flop * device["sm"]
        self.prepare = 2.0 * batch * seq * dim * (heads + kv) * ELEMENT * 1e6 / (device["hbm_tb_s"] * 1e12)
        self.terms = correction_terms(nodes, seq, batch * heads, dim, heads / kv)

    def mechanism(self, p):
        work, longest = self.work / p[EFFICIENCY], self.longest / p[EFFICIENCY]
        return p[LAUNCH] + max(work + p[TAIL] * longest, longest) + self.prepare / p[PREPARE]

    def predict(self, p, correction):
        c = 0.0
        for i, w in self.terms:
            c += w * correction[i]
        return self.mechanism(p) * math.exp(c)


def correction_nodes(rows):
    return dict(seq=sorted({r[1] for r in rows}), heads=list(HEAD_NODES), dim=sorted({r[4] for r in rows}),
                group=list(GROUP_NODES))


def correction_size(nodes):
    return len(nodes["dim"]) * (len(nodes["seq"]) * len(nodes["heads"]) + len(nodes["group"]))


def correction_terms(nodes, seq, batch_heads, dim, group):
    """[dim][seq][batch heads], then [dim][heads / kv heads]."""
    by_dim = hat(dim, nodes["dim"])
    inner = cross(hat(seq, nodes["seq"]), hat(batch_heads, nodes["heads"]), len(nodes["heads"]))
    block = len(nodes["seq"]) * len(nodes["heads"])
    first = cross(by_dim, inner, block)
    second = cross(by_dim, hat(group, nodes["group"]), len(nodes["group"]))
    return first + shift(second, len(nodes["dim"]) * block)


def fit(device, rows):
    nodes = correction_nodes(rows)
    prepared = [(left_out(*r[:5]), Prepared(device, nodes, r)) for r in rows]
    fitted = [r for held, r in prepared if not held]
    held = [r for held_out, r in prepared if held_out]

    def loss(p):
        total = 0.0
        for r in fitted:
            total += abs(math.log(r.mechanism(p)) - r.log_us)
        return total / len(fitted)

    p = [significant(v) for v in descend([5.0, 0.6, 0.5, 0.5],
                                         [(2.0, 40.0), (0.1, 0.95), (0.01, 1.0), (0.1, 0.9)], loss)]
    size = correction_size(nodes)

    def solve(part):
        return ridge([r.terms for r in part], [r.log_us - math.log(r.mechanism(p)) for r in part], size, PENALTY)

    correction = [round(c, 4) for c in solve(fitted)]
    out_of_fold = []
    for f in range(4):
        c = solve([r for i, r in enumerate(fitted) if i % 4 != f])
        for i, r in enumerate(fitted):
            if i % 4 == f:
                predicted = r.predict(p, c)
                out_of_fold.append((predicted, r.us / predicted))
    low, high = bands(out_of_fold)
    return dict(p=p, nodes=nodes, correction=correction, low=low, high=high,
                fitted=[r.us / r.predict(p, correction) for r in fitted],
                held=[r.us / r.predict(p, correction) for r in held])


# FLOP of the backward pass over the forward's: five products instead of two (FlashAttention-2, section 3.3).
BACKWARD_FLOP_RATIO = 2.5


BACKWARD_MIN_HEADS = 16  # with fewer, neither pass fills the GPU and the ratio says little


def heads_of(layout):
    """"b1 s4096 h64 kv8 qk128 v128" -> 64."""
    return int(next(word[1:] for word in layout.split() if word[0] == "h"))


def backward_ratio(path, gpu_column):
    """Median of backward over forward efficiency of the same shape (SimuMax system files in
    kernels/gemm_published.csv; that their backward counts 2.5 times the forward's FLOP is assumed)."""
    by_shape = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(path, newline="") as file:
        for r in csv.DictReader(file):
            if (r["gpu"] == gpu_column and r["op"].startswith("attention_")
                    and heads_of(r["layout"]) >= BACKWARD_MIN_HEADS):
                by_shape[r["layout"]][r["op"][-3:]].append(float(r["efficiency_vs_peak"]))
    return [median(v["bwd"]) / median(v["fwd"]) for _, v in sorted(by_shape.items()) if v["fwd"] and v["bwd"]]
