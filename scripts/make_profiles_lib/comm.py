"""Link classes: what share of the line rate a collective reaches, and what it costs to start.

    t = base_latency + per_step * steps + (bytes + half_size) / (line_rate * fraction)

which is CommEfficiency of sim/cost/profile.h. bytes = what one rank sends over the link. In nccl-tests S is the
whole buffer (all-gather, reduce-scatter, all-to-all: of one rank, all parts together; sizes rounded down); one rank
sends S (n-1)/n, in an all-reduce twice that, in send/recv S. steps = rounds of a ring: n-1, all-reduce 2 (n-1),
all-to-all and send/recv 0.
"""

import collections
import csv
import math

from .fitting import descend, median, quantile, significant

KINDS = ("all_to_all", "sendrecv", "all_gather", "reduce_scatter", "all_reduce", "broadcast")
KIND_OF_OP = {"alltoall": "all_to_all", "sendrecv": "sendrecv", "all_gather": "all_gather",
              "reduce_scatter": "reduce_scatter", "all_reduce": "all_reduce", "broadcast": "broadcast"}
# A run below this size is a fixed cost; a file's figures are taken from here up for multi-node links.
LARGE = 1 << 30


def sent(kind, size, ranks):
    if kind in ("sendrecv", "broadcast"):
        return float(size)
    share = (ranks - 1) / ranks
    return size * share * (2.0 if kind == "all_reduce" else 1.0)


def steps(kind, ranks):
    if kind in ("all_gather", "reduce_scatter", "broadcast"):
        return ranks - 1
    return 2 * (ranks - 1) if kind == "all_reduce" else 0


def read_log(path):
    """Out-of-place (size, us) rows of an nccl-tests log that prints times; which column is named by its header."""
    points, column = [], None
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            words = line.split()
            if words[:2] == ["#", "size"] and "time" in words:
                column = words.index("time") - len(words)  # from the right: some logs leave a column empty
                continue
            if column is None or len(words) < -column or not words[0].isdigit():
                continue
            try:
                size, us = int(words[0]), float(words[column])
            except ValueError:
                continue
            if size > 0 and us > 0:
                points.append((size, us))
    return points


def load(folder):
    """One-node points {(system, kind): {(ranks, size): [us]}} and the index of logs."""
    points = collections.defaultdict(lambda: collections.defaultdict(list))
    with open(folder / "one_node_points.csv", newline="") as file:
        for r in csv.DictReader(file):
            kind = KIND_OF_OP.get(r["op"])
            if kind:
                points[r["system"], kind][int(r["num_gpus"]), int(r["size_bytes"])].append(float(r["latency_us"]))
    with open(folder / "index.csv", newline="") as file:
        index = [r for r in csv.DictReader(file)]
    index.sort(key=lambda r: r["file"])
    return points, index


def one_node(folder, data, device):
    """Fits of the nvlink class by kind; kinds without data are absent."""
    points, index = data
    fits = {}
    for kind in KINDS:
        sample = collections.defaultdict(list)
        for (ranks, size), times in points.get((device["system"], kind), {}).items():
            sample[ranks, size].append(median(times))
        files = 0
        for r in index:
            if (int(r["nodes"]) == 1 and device["nccl"] and r["gpu"].startswith(device["nccl"])
                    and KIND_OF_OP.get(r["collective"]) == kind):
                rows = read_log(folder / r["file"])
                files += 1 if rows else 0
                for size, us in rows:
                    sample[int(r["nranks"]), size].append(us)
        rows = [(ranks, size, median(times)) for (ranks, size), times in sorted(sample.items()) if ranks > 1]
        if len(rows) < 8:
            continue
        fits[kind] = fit(kind, rows, device["nvlink_gb_s"], files)
    return fits


SIZE_EDGES = (1 << 20, 1 << 24)
SIZE_WEIGHTS = (0.2, 0.4, 0.6)
BASE_US = 8.0  # start of a collective inside a node, where no small size was measured


def size_class(size):
    return sum(1 for edge in SIZE_EDGES if size >= edge)


def fit(kind, rows, line_gb_s, files):
    us_per_byte = 1e-3 / line_gb_s
    # Eight ranks are what an expert- or tensor-parallel group spans: they weigh as much as all others together;
    # and of the sizes those that a training step moves.
    groups = collections.Counter((ranks == 8, size_class(size)) for ranks, size, _ in rows)
    prepared = [(sent(kind, size, ranks) * us_per_byte, steps(kind, ranks), math.log(us),
                 SIZE_WEIGHTS[size_class(size)] / groups[ranks == 8, size_class(size)])
                for ranks, size, us in rows]

    def predict(p, line_us, rounds):
        return p[0] + p[1] * rounds + (line_us + p[2]) / p[3]

    def loss(p):
        total = 0.0
        for line_us, rounds, log_us, weight in prepared:
            total += weight * abs(math.log(predict(p, line_us, rounds)) - log_us)
        return total

    stepped = kind in ("all_gather", "reduce_scatter", "all_reduce", "broadcast")
    small = any(size_class(size) == 0 for _, size, _ in rows)
    p = descend([BASE_US, 1.0 if stepped else 0.0, 2.0, 0.75],
                [(2.0, 60.0) if small else (BASE_US, BASE_US), (0.1, 6.0) if stepped else (0.0, 0.0), (0.1, 10.0), (0.2, 1.2)], loss, rounds=40)
    p = [significant(v) for v in p]
    ratios = [math.exp(row[2]) / predict(p, row[0], row[1])
              for row, (_, size, _) in zip(prepared, rows) if size_class(size) > 0]
    return dict(base_us=p[0], step_us=p[1], half_bytes=int(round(p[2] / us_per_byte)), fraction=p[3],
                low=significant(min(1.0, quantile(ratios, 0.05))), high=significant(max(1.0, quantile(ratios, 0.95))),
                rows=len(rows), files=files, ranks=sorted({r[0] for r in rows}))


# Ethernet and InfiniBand at 400 Gb/s a GPU: what a start costs is in no log of that cluster (they begin at 32 MiB);
# the A100 log over four 100 Gb/s EFA NICs starts at 161 us, the MI300X one over RoCE at some 30 us.
NIC_BASE_US = 25.0
NIC_STEP_US = 4.0
NIC_HALF_BYTES = 1 << 20
NIC_LINE_GB_S = 50.0
NIC_CLUSTER_WORDS = "400Gb/s-class"  # the NIC column of the cluster whose rate is known


def nic(folder, data):
    """Fractions of a 400 Gb/s NIC per GPU: the median over logs of the rate above 1 GiB, every kind apart."""
    _, index = data
    rates = collections.defaultdict(list)
    for r in index:
        kind = KIND_OF_OP.get(r["collective"])
        nodes, gpus = int(r["nodes"]), int(r["gpus_per_node"])
        if nodes < 2 or not kind or not r["nic"].startswith(NIC_CLUSTER_WORDS):
            continue
        per_size = []
        for size, us in read_log(folder / r["file"]):
            if size < LARGE:
                continue
            per_size.append(nic_bytes(kind, size, nodes, gpus) / (us * 1e-6) / (NIC_LINE_GB_S * 1e9))
        if per_size:
            rates[kind].append(median(per_size))
    fits = {}
    for kind, values in sorted(rates.items()):
        m = median(values)
        fits[kind] = dict(fraction=significant(m), low=significant(min(1.0, m / max(values))),
                          high=significant(max(1.0, m / min(values))), files=len(values))
    return fits


def nic_bytes(kind, size, nodes, gpus):
    """Bytes through one NIC, per GPU of a node: all-to-all sends only other nodes' parts; rings cross the NICs of
    a node once with every channel; of send/recv round a ring one GPU a node sends out."""
    ranks = nodes * gpus
    if kind == "all_to_all":
        return size * (ranks - gpus) / ranks
    if kind == "sendrecv":
        return float(size)
    return sent(kind, size, ranks) / gpus
