"""Grouped GEMM from per-expert token counts, fitted on fused expert MLPs.

    product(counts, n, k) = (launch + max(compute, memory)) * exp(c(tokens per active expert, rows n k) + c(n k))
    compute = min over row tiles tm of
              waves * (2 tm 128 k * sm_count / (peak * efficiency_tm) + wave_overhead)
    waves   = ceil(sum_e ceil(t_e / tm) * ceil(n / 128) / sm_count)
    memory  = (active n k element + rows (k element + n out)) over (hbm * memory_efficiency)
    table   = max(floor, fixed + product(2 inter, hidden) + product(hidden, inter) + activation + move)
    activation = rows (4 inter read + inter element written) over (hbm * activation_efficiency)
    move    = permute: rows hidden (element read + element written), weighted sum back:
              rows hidden 2 read + tokens hidden 2 written; over (hbm * move_efficiency)

The table's operation holds all of these: sources' collectors time the whole expert module, and the regression
agrees (rows of equal FLOP differ by the bytes of tokens x hidden; in the DeepEP table the time per *global* token
at one expert a rank is just the gathered output row). sim/cost/grouped_model.cc is the same in C++.
"""

import collections
import csv
import math

from . import datasheets
from .fitting import bands, cross, descend, hat, ridge, shift, significant
from .hashing import left_out, table_counts

TILE_N = 128
ROW_TILES = {"cutlass": (64, 128, 256), "deepgemm": (128,)}
OUT_BYTES = 2.0
MIN_ROWS = 1024  # rows of one rank; below, the operation is launch-bound and not what training runs
MAX_RANKS = 16  # with more, one or two experts are left and the fixed part of the operation is all one sees
PENALTY = 0.2
TOKEN_NODES = {"cutlass": (32, 128, 512, 2048, 8192), "deepgemm": (16, 64, 128, 256, 1024, 4096, 16384)}
AREA_NODES = {"cutlass": (1.6e6, 1.2e7, 5.9e7, 2.0e8), "deepgemm": (1.5e7, 2.9e7)}
# rows n k of one product: the longer a kernel runs, the nearer it is to the power limit and the slower its clock
WORK_NODES = (1e10, 1e11, 4e11, 1.6e12, 6e12)


def load(kernels):
    """{(system, format, kernel): [row, ...]}, newest release only, and the software of each."""
    rows, software = collections.defaultdict(list), {}
    with open(kernels / "grouped_gemm.csv", newline="") as file:
        for r in csv.DictReader(file):
            key = (r["system"], datasheets.FORMAT_OF_DTYPE[r["dtype"]], "cutlass")
            software[key] = (f"{r['framework']} {r['version']}", r["kernel_source"])
            rows[key].append(dict(
                tokens=int(r["num_tokens"]), hidden=int(r["hidden"]), inter=int(r["inter"]), topk=int(r["topk"]),
                experts=int(r["num_experts"]), ranks=int(r["moe_ep"]), tp=int(r["moe_tp"]),
                distribution=r["distribution"], us=float(r["latency_us"])))
    newest = {}
    raw = []
    with open(kernels / "grouped_gemm_deepep.csv", newline="") as file:
        for r in csv.DictReader(file):
            key = (r["system"], datasheets.FORMAT_OF_DTYPE[r["moe_dtype"]], "deepgemm")
            newest[key] = max(newest.get(key, ()), release(r["version"]))
            raw.append((key, r))
    for key, r in raw:
        if release(r["version"]) != newest[key]:
            continue
        software[key] = (f"{r['framework']} {r['version']}", r["kernel_source"])
        rows[key].append(dict(
            tokens=int(r["num_tokens"]), hidden=int(r["hidden_size"]), inter=int(r["inter_size"]),
            topk=int(r["topk"]), experts=int(r["num_experts"]), ranks=int(r["moe_ep_size"]),
            tp=int(r["moe_tp_size"]), distribution=r["distribution"], us=float(r["latency_ms"]) * 1e3))
    for part in rows.values():
        part.sort(key=lambda r: (r["hidden"], r["inter"], r["experts"], r["topk"], r["ranks"], r["tokens"],
                                 r["distribution"]))
    return rows, software


def release(version):
    """"0.5.6.post2" -> comparable numbers."""
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in version.split("."))


def used(row, kernel):
    """The rows that describe one GPU's grouped product: expert parallelism 1 (imbalance inside the GPU) and
    balanced shares of more; in the DeepEP table every row (the counts of the hottest rank are drawn)."""
    if row["tp"] != 1:
        return False
    if kernel == "deepgemm":
        return True
    if row["ranks"] > 1 and row["distribution"] != "balanced":
        return False
    return row["ranks"] <= MAX_RANKS and row["tokens"] * row["topk"] // row["ranks"] >= MIN_ROWS


def shape_of(row):
    return (row["tokens"], row["hidden"], row["inter"], row["topk"], row["experts"], row["ranks"])


# Parameters: launch of one product is taken from the dense GEMM.
FIXED, FLOOR, WAVE, MEMORY, ACTIVATION, MOVE, TILE0 = range(7)


class Prepared:
    """Geometry of one row, per draw."""

    def __init__(self, device, fmt, kernel, launch_us, row):
        us_per_flop_sm = 1e6 * device["sm"] / (device["peak"][fmt] * 1e12)
        us_per_byte = 1e6 / (device["hbm_tb_s"] * 1e12)
        element = datasheets.element_bytes(fmt)
        h, i = row["hidden"], row["inter"]
        self.us, self.log_us, self.launch = row["us"], math.log(row["us"]), launch_us
        self.draws = []
        for counts in table_counts(row["distribution"], row["tokens"], row["topk"], row["experts"], row["ranks"]):
            rows = sum(counts)
            active = sum(1 for c in counts if c > 0) or 1
            blocks = [sum(-(-c // tm) for c in counts) for tm in ROW_TILES[kernel]]
            products = []
            for n, k in ((2 * i, h), (h, i)):
                options = [(-(-b * -(-n // TILE_N) // device["sm"]), 2.0 * tm * TILE_N * k * us_per_flop_sm)
                           for b, tm in zip(blocks, ROW_TILES[kernel])]
                memory = (active * n * k * element + rows * (k * element + n * OUT_BYTES)) * us_per_byte
                terms = correction_terms(kernel, rows / active, n * k, rows)
                products.append((options, memory, terms))
            activation = rows * (4.0 * i + i * element) * us_per_byte
            move = (rows * h * (2.0 * element + 2.0) + row["tokens"] * h * 2.0) * us_per_byte
            self.draws.append((products, activation, move))

    def product(self, p, product):
        options, memory, _ = product
        best = math.inf
        for i, (waves, unit) in enumerate(options):
            t = waves * (unit / p[TILE0 + i] + p[WAVE])
            if t < best:
                best = t
        memory /= p[MEMORY]
        return self.launch + (best if best > memory else memory)

    def predict(self, p, correction=None):
        total = 0.0
        for products, activation, move in self.draws:
            t = p[FIXED] + activation / p[ACTIVATION] + move / p[MOVE]
            for product in products:
                part = self.product(p, product)
                if correction is not None:
                    c = 0.0
                    for i, w in product[2]:
                        c += w * correction[i]
                    part *= math.exp(c)
                t += part
            total += max(t, p[FLOOR])
        return total / len(self.draws)

    def design(self, p, correction):
        """d log(predicted) / d correction at `correction`."""
        weights = collections.defaultdict(float)
        total = self.predict(p, correction)
        for products, activation, move in self.draws:
            t = p[FIXED] + activation / p[ACTIVATION] + move / p[MOVE]
            parts = []
            for product in products:
                c = 0.0
                for i, w in product[2]:
                    c += w * correction[i]
                parts.append(self.product(p, product) * math.exp(c))
            if t + sum(parts) <= p[FLOOR]:
                continue
            for product, part in zip(products, parts):
                for i, w in product[2]:
                    weights[i] += w * part / (total * len(self.draws))
        return sorted(weights.items()), total


def correction_terms(kernel, tokens_per_active, area, rows):
    """[tokens per active expert][rows n k], then [n k]."""
    tokens, areas = TOKEN_NODES[kernel], AREA_NODES[kernel]
    first = cross(hat(tokens_per_active, tokens), hat(float(area) * rows, WORK_NODES), len(WORK_NODES))
    return first + shift(hat(float(area), areas), len(tokens) * len(WORK_NODES))


def correction_size(kernel):
    return len(TOKEN_NODES[kernel]) * len(WORK_NODES) + len(AREA_NODES[kernel])


def solve_correction(p, rows, size):
    """Two Gauss-Newton steps of the ridge problem."""
    correction = [0.0] * size
    for _ in range(2):
        designs, targets = [], []
        for r in rows:
            terms, total = r.design(p, correction)
            here = 0.0
            for i, w in terms:
                here += w * correction[i]
            designs.append(terms)
            targets.append(r.log_us - math.log(total) + here)
        correction = ridge(designs, targets, size, PENALTY, rounds=4)
    return correction


def fit(device, fmt, kernel, rows, launch_us, best_tile=0.95, dense_wave_us=4.0):
    """best_tile, dense_wave_us: of the dense products of this format. A grouped tile is no better, and its wave costs
    at most twice as much: without these bounds the regression trades the products against what surrounds them."""
    keep = [r for r in rows if used(r, kernel)]
    prepared = [(left_out(*shape_of(r)), Prepared(device, fmt, kernel, launch_us, r)) for r in keep]
    fitted = [r for held, r in prepared if not held]
    held = [r for held_out, r in prepared if held_out]

    def loss(p):
        total = 0.0
        for r in fitted:
            total += abs(math.log(r.predict(p)) - r.log_us)
        return total / len(fitted)

    tiles = len(ROW_TILES[kernel])
    deep = kernel == "deepgemm"
    start = [60.0, 300.0 if deep else 1.0, 1.0, 0.8, 0.7, 0.6] + [0.6] * tiles
    bounds = [(1.0, 600.0), (1.0, 800.0) if deep else (1.0, 1.0), (0.05, 2.0 * dense_wave_us), (0.3, 0.95), (0.3, 0.95),
              (0.1, 0.95)] + [(0.1, best_tile)] * tiles
    p = [significant(v) for v in descend(start, bounds, loss, rounds=18)]
    size = correction_size(kernel)
    correction = [round(c, 4) for c in solve_correction(p, fitted, size)]
    out_of_fold = []
    for f in range(4):
        c = solve_correction(p, [r for i, r in enumerate(fitted) if i % 4 != f], size)
        for i, r in enumerate(fitted):
            if i % 4 == f:
                predicted = r.predict(p, c)
                out_of_fold.append((predicted, r.us / predicted))
    low, high = bands(out_of_fold, widen=1.1)
    ratios = [[r.us / r.predict(p, correction) for r in part] for part in (fitted, held)]
    return dict(p=p, correction=correction, low=low, high=high, fitted=ratios[0], held=ratios[1], rows=len(keep),
                range=dict(rows=(min(r["tokens"] * r["topk"] // r["ranks"] for r in keep),
                                 max(r["tokens"] * r["topk"] // r["ranks"] for r in keep)),
                           area=(min(r["hidden"] * r["inter"] for r in keep),
                                 max(2 * r["hidden"] * r["inter"] for r in keep))))


def pass_ratios(path, gpu_column):
    """Median efficiencies of grouped products by stage, relative to forward (SimuMax system files)."""
    by_stage = collections.defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["gpu"] == gpu_column and row["op"] == "group_matmul":
                by_stage[row["layout"]].append(float(row["efficiency_vs_peak"]))
    return by_stage
