"""GEMM: tiles in waves over the SMs, memory roofline, split-k, launch floor; then a correction grid.

    t = (launch + max(compute, memory)) * exp(c_mn + c_mk + c_nk)            the product itself
    compute = min over tiles (tm, tn) and splits s in {1, 2, 4} of
              waves * (2 tm tn ceil(k/s) * sm_count / (peak * efficiency_tile) + wave_overhead) + split(s)
    waves   = ceil(ceil(m/tm) ceil(n/tn) s / sm_count)
    memory  = (m k + n k) element_bytes + m n out_bytes over (hbm * memory_efficiency)
    split(s > 1) = split_overhead + 8 s m n bytes over hbm (fp32 partial results written and read)
    table   = t + quantise, quantise = fixed + m k quantise_bytes over hbm, for formats other than bf16

sim/cost/gemm_model.cc is the same in C++.
"""

import collections
import csv
import math

from . import datasheets
from .fitting import (bands, cross, descend, errors_of, hat, median, quantile, ridge, shift, significant)
from .hashing import left_out

TILES = [(256, 256), (256, 128), (128, 256), (192, 128), (128, 192), (128, 128), (64, 128), (128, 64), (64, 64)]
SPLITS = (1, 2, 4)
K_STEP = 64
OUT_BYTES = 2.0
# The first guess of each tile's efficiency; tiles that never win keep it, and never win.
FIRST_EFFICIENCY = [0.7, 0.8, 0.8, 0.75, 0.75, 0.7, 0.55, 0.55, 0.4]
MAX_EFFICIENCY = 1.0
SUBSET = 3  # the mechanism is fitted on every third fitted shape, the correction on all
PENALTY = 0.5  # of the correction grid; chosen on A100 bf16 by leaving out a fifth of the *fitted* shapes
CORRECTION_POINTS = 9  # nodes of the coarse axes


def load(path):
    """{(system, dtype): [(m, n, k, us), ...]} in a fixed order, and the versions."""
    rows, software = collections.defaultdict(list), {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            key = (row["system"], row["dtype"])
            rows[key].append((int(row["m"]), int(row["n"]), int(row["k"]), float(row["latency_us"])))
            software[key] = (f"{row['framework']} {row['version']}", row["kernel_source"])
    for key in rows:
        rows[key].sort()
    return rows, software


class Machine:
    def __init__(self, device, fmt):
        self.sm = device["sm"]
        self.us_per_flop_sm = 1e6 * device["sm"] / (device["peak"][fmt] * 1e12)
        self.us_per_byte = 1e6 / (device["hbm_tb_s"] * 1e12)
        self.element = datasheets.element_bytes(fmt)


def geometry(machine, m, n, k):
    """What does not depend on fitted parameters: per tile [(waves, us at efficiency 1, split us)], memory us."""
    tiles = []
    for tm, tn in TILES:
        count = -(-m // tm) * -(-n // tn)
        options = []
        for s in SPLITS:
            steps = -(-k // (s * K_STEP)) * K_STEP
            waves = -(-count * s // machine.sm)
            extra = 0.0 if s == 1 else 8.0 * s * m * n * machine.us_per_byte
            options.append((waves, 2.0 * tm * tn * steps * machine.us_per_flop_sm, extra))
        tiles.append(options)
    memory = ((m * k + n * k) * machine.element + m * n * OUT_BYTES) * machine.us_per_byte
    return tiles, memory


# Parameters: launch, wave overhead, memory efficiency, split overhead, quantise fixed, quantise bytes, tiles...
LAUNCH, WAVE, MEMORY, SPLIT, QUANT_FIXED, QUANT_BYTES, TILE0 = range(7)


def product_us(p, shape_geometry):
    tiles, memory = shape_geometry
    wave = p[WAVE]
    split = p[SPLIT]
    best = math.inf
    for i, options in enumerate(tiles):
        inverse = 1.0 / p[TILE0 + i]
        for waves, unit, extra in options:
            t = waves * (unit * inverse + wave)
            if extra:
                t += split + extra
            if t < best:
                best = t
    memory /= p[MEMORY]
    return p[LAUNCH] + (best if best > memory else memory)


def fit(device, fmt, rows, launch_us):
    """The section of one format. launch_us: of bf16 on this GPU, or None to fit it."""
    machine = Machine(device, fmt)
    fitted = [r for r in rows if not left_out(r[0], r[1], r[2])]
    held = [r for r in rows if left_out(r[0], r[1], r[2])]
    quantised = fmt != "bf16"

    subset = [(geometry(machine, m, n, k), m * k * machine.us_per_byte, math.log(us))
              for m, n, k, us in fitted[::SUBSET]]

    def loss(p):
        total = 0.0
        for shape, activation, log_us in subset:
            total += abs(math.log(product_us(p, shape) + p[QUANT_FIXED] + activation * p[QUANT_BYTES]) - log_us)
        return total / len(subset)

    start = [launch_us or 2.0, 1.0, 0.7, 2.0, 3.0 if quantised else 0.0, 6.0 if quantised else 0.0]
    bounds = [(launch_us, launch_us) if launch_us else (0.3, 8.0), (0.05, 12.0), (0.3, 0.95), (0.1, 60.0),
              (0.2, 20.0) if quantised else (0.0, 0.0), (2.0, 16.0) if quantised else (0.0, 0.0)]
    start += FIRST_EFFICIENCY
    bounds += [(0.1, MAX_EFFICIENCY)] * len(TILES)
    p = [significant(v) for v in descend(start, bounds, loss)]

    nodes = correction_nodes(rows)
    prepared = [prepare(p, machine, nodes, r) for r in rows]
    of_row = dict(zip(rows, prepared))
    size = correction_size(nodes)

    def solve(part):
        design = [of_row[r].design for r in part]
        target = [of_row[r].log_ratio for r in part]
        return ridge(design, target, size, PENALTY)

    correction = [round(c, 4) for c in solve(fitted)]
    # The band from out-of-fold residuals of the fitted shapes; the left-out shapes only check it.
    folds = [[r for i, r in enumerate(fitted) if i % 4 != f] for f in range(4)]
    out_of_fold = []
    for f, part in enumerate(folds):
        c = solve(part)
        out_of_fold += [of_row[r].ratio(c) for i, r in enumerate(fitted) if i % 4 == f]
    low, high = bands(out_of_fold)
    fit_ratios = [of_row[r].ratio(correction)[1] for r in fitted]
    held_ratios = [of_row[r].ratio(correction)[1] for r in held]
    return dict(p=p, nodes=nodes, correction=correction, low=low, high=high, fitted=fit_ratios, held=held_ratios,
                range={axis: (min(r[i] for r in rows), max(r[i] for r in rows)) for i, axis in enumerate("mnk")})


def thin(values, count):
    """`count` of the values, evenly spread by rank, first and last included."""
    if len(values) <= count:
        return values
    return sorted({values[round(i * (len(values) - 1) / (count - 1))] for i in range(count)})


def correction_nodes(rows):
    axes = [sorted({r[i] for r in rows}) for i in range(3)]
    return dict(m=axes[0], n=axes[1], k=axes[2], n_coarse=thin(axes[1], CORRECTION_POINTS),
                k_coarse=thin(axes[2], CORRECTION_POINTS))


def correction_size(nodes):
    return (len(nodes["m"]) * (len(nodes["n"]) + len(nodes["k_coarse"]))
            + len(nodes["n_coarse"]) * len(nodes["k_coarse"]))


def correction_terms(nodes, m, n, k):
    """c_mn (m by every n) + c_mk (m by coarse k) + c_nk (coarse n by coarse k)."""
    hm, hn = hat(m, nodes["m"]), hat(n, nodes["n"])
    hk, hnc = hat(k, nodes["k_coarse"]), hat(n, nodes["n_coarse"])
    first = len(nodes["m"]) * len(nodes["n"])
    second = first + len(nodes["m"]) * len(nodes["k_coarse"])
    return (cross(hm, hn, len(nodes["n"])) + shift(cross(hm, hk, len(nodes["k_coarse"])), first)
            + shift(cross(hnc, hk, len(nodes["k_coarse"])), second))


class Prepared:
    """One row: measured = product * exp(c) + quantise; for small c, log(measured/predicted) ~ share * c."""

    def __init__(self, product, quantise, terms, us):
        self.product, self.quantise, self.terms, self.us = product, quantise, terms, us
        share = product / (product + quantise)
        self.log_ratio = math.log(us / (product + quantise))
        self.design = [(i, w * share) for i, w in terms]

    def ratio(self, correction):
        """(predicted us, measured / predicted)."""
        c = 0.0
        for i, w in self.terms:
            c += w * correction[i]
        predicted = self.product * math.exp(c) + self.quantise
        return predicted, self.us / predicted


def prepare(p, machine, nodes, row):
    m, n, k, us = row
    product = product_us(p, geometry(machine, m, n, k))
    quantise = p[QUANT_FIXED] + m * k * p[QUANT_BYTES] * machine.us_per_byte
    return Prepared(product, quantise, correction_terms(nodes, m, n, k), us)


PASS_LAYOUT = {"forward": "TN", "data_gradient": "NN", "weight_gradient": "NT"}


def pass_ratios(path, gpu_column):
    """Efficiency of dgrad and wgrad relative to the forward product of the same layer: medians of pairs in
    kernels/gemm_published.csv (SimuMax system files: TN forward, NN dgrad, NT wgrad with fp32 accumulation)."""
    by_shape = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["gpu"] != gpu_column or row["op"] != "matmul":
                continue
            shape = (int(row["m_per_group"]), int(row["n"]), int(row["k"]), row["layout"])
            by_shape.setdefault(shape, []).append(float(row["efficiency_vs_peak"]))
    data, weight = [], []
    for (m, n, k, layout), values in sorted(by_shape.items()):
        if layout != "TN":
            continue
        forward = median(values)
        dgrad = by_shape.get((m, k, n, "NN"))
        wgrad = by_shape.get((n, k, m, "NT")) or by_shape.get((k, n, m, "NT"))
        if dgrad:
            data.append(median(dgrad) / forward)
        if wgrad:
            weight.append(median(wgrad) / forward)
    return dict(data_gradient=data, weight_gradient=weight)
