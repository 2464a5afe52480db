"""One GPU's profile as text: fits every table that the corpus holds, states by rule what it does not."""

import math
import pathlib

from . import attention, comm, datasheets, gemm, grouped
from .fitting import BAND_EDGES_US, errors_of, median, quantile, significant

GEMM_SOURCE = "ai-dynamo/aiconfigurator kernel tables (kernels/gemm.csv)"
GROUPED_SOURCE = {"cutlass": "ai-dynamo/aiconfigurator kernel tables (kernels/grouped_gemm.csv)",
                  "deepgemm": "ai-dynamo/aiconfigurator kernel tables (kernels/grouped_gemm_deepep.csv)"}
ATTENTION_SOURCE = "ai-dynamo/aiconfigurator kernel tables (kernels/attention_forward.csv)"
PUBLISHED_SOURCE = "MooreThreads/SimuMax system files (kernels/gemm_published.csv)"
METHOD = "burst: repeated launches on an idle GPU, clocks not locked"

# Formats priced by another format's efficiencies where no table holds them (element size and peak are their own).
GEMM_LIKE = {"fp32": ("bf16",), "tf32": ("bf16",), "fp16": ("bf16",), "fp8_tensor": ("fp8_block",),
             "fp8_block": ("fp8_tensor",), "mxfp8": ("fp8_block", "fp8_tensor"), "nvfp4": ("mxfp8", "fp8_block")}
ASSUMED_LOW, ASSUMED_HIGH = 0.75, 1.35  # 90 % band of a time by rule: a guess, wider than any measured table's

# Share of HBM bandwidth that memory-bound kernels reach on large inputs. Nothing in the corpus times them alone;
# the values are what tuned kernels commonly reach (copies about 0.9; gathers, reductions over rows less).
MEMORY_OPS = {"router": 0.30, "rope": 0.65, "norm": 0.75, "swiglu": 0.80, "transpose": 0.60, "add": 0.85,
              "embedding": 0.50, "cross_entropy": 0.65, "optimizer": 0.80, "grad_accumulate": 0.85, "reduce": 0.80,
              "copy": 0.90, "permute": 0.55, "unpermute": 0.55, "quantise": 0.50}
MEMORY_FLOOR_US = 3.0  # launch to end of a kernel that moves next to nothing
MEMORY_BAND = (0.7, 1.6)

# Values for GPUs without tables of their own (V100): shares of peak that cuBLAS and fused attention commonly reach.
PLAIN_GEMM = dict(launch_us=3.0, wave_us=1.5, memory=0.7, split_us=3.0,
                  tiles=[(256, 128, 0.72), (128, 256, 0.72), (128, 128, 0.72), (128, 64, 0.6), (64, 64, 0.5)])
PLAIN_ATTENTION = dict(launch_us=5.0, efficiency=0.35, tail=0.5, prepare=0.4)
PLAIN_GROUPED = dict(fixed_us=60.0, floor_us=0.0, wave_us=2.0, memory=0.7, activation=0.7, move=0.5, efficiency=0.6)

NVLINK_ASSUMED = dict(all_to_all=0.65, sendrecv=0.75, all_gather=0.65, reduce_scatter=0.65, all_reduce=0.70,
                      broadcast=0.65)
PCIE_ASSUMED = dict(all_to_all=0.60, sendrecv=0.75, all_gather=0.70, reduce_scatter=0.70, all_reduce=0.70,
                    broadcast=0.70)


def number(x):
    """Shortest decimal of a rounded value."""
    text = f"{x:.10g}"
    return "0" if text == "-0" else text


def numbers(values):
    return "[" + ", ".join(number(v) for v in values) + "]"


class Text:
    def __init__(self):
        self.lines = []

    def add(self, indent, text):
        self.lines.append("  " * indent + text)

    def array(self, indent, key, values, width=108):
        """key: [ ... ] over several lines."""
        line = "  " * indent + f"{key}: ["
        pad = "  " * (indent + 1)
        for i, value in enumerate(values):
            word = number(value) + ("]" if i + 1 == len(values) else ",")
            if len(line) + 1 + len(word) > width:
                self.lines.append(line)
                line = pad + word
            else:
                line += (" " if not line.endswith("[") else "") + word
        self.lines.append(line)

    def residuals(self, indent, fit):
        for key in ("fitted", "held"):
            ratios = fit[key]
            name = "fitted" if key == "fitted" else "left_out"
            if not ratios:
                continue
            mid, mean, p90, worst = errors_of(ratios)
            self.add(indent, f"{name}: {{shapes: {len(ratios)}, p05: {number(significant(quantile(ratios, .05)))}, "
                             f"p50: {number(significant(median(ratios)))}, p95: {number(significant(quantile(ratios, .95)))}, "
                             f"median_error: {number(significant(mid, 3))}, mean_error: {number(significant(mean, 3))}, "
                             f"p90_error: {number(significant(p90, 3))}, worst_error: {number(significant(worst, 3))}}}")

    def band(self, indent, low, high):
        self.add(indent, f"band: {{edges_us: {numbers(BAND_EDGES_US[:len(low) - 1])}, low: {numbers(low)}, high: {numbers(high)}}}")

    def text(self):
        return "\n".join(self.lines) + "\n"


def make(name, corpus):
    """(profile text, report lines) of one GPU."""
    corpus = pathlib.Path(corpus)
    device = datasheets.DEVICES[name]
    out, report = Text(), []
    head(out, name, device)
    launch = gemm_sections(out, name, device, corpus, report)
    grouped_quantities = grouped_sections(out, name, device, corpus, launch, report)
    attention_section(out, name, device, corpus, report)
    memory_section(out, grouped_quantities, out.quantise)
    link_sections(out, device, corpus)
    return out.text(), report


def report_line(report, name, op, fmt, kernel, fit):
    for key, rows in (("fitted", fit["fitted"]), ("left_out", fit["held"])):
        if rows:
            values = ",".join(f"{v:.4f}" for v in errors_of(rows))
            report.append(f"{name},{op},{fmt},{kernel},{key},{len(rows)},{values}")


def head(out, name, device):
    out.add(0, f"# {device['gpu']}. Made by scripts/make_profiles from measured tables; do not edit by hand.")
    out.add(0, "# Models and symbols: docs/models/compute.md. Efficiencies are shares of the dense datasheet peak.")
    out.add(0, "schema: moeplan.profile/1")
    out.add(0, f"name: {name}")
    out.add(0, f"gpu: {device['gpu']}")
    out.add(0, f"timing: \"{METHOD}\"" if device["system"] else "timing: \"none: nothing on this GPU was measured\"")
    out.add(0, f"power_limit_w: {device['power_w']}")
    out.add(0, "device:")
    out.add(1, f"source: {device['source']}")
    out.add(1, f"sm_count: {device['sm']}")
    out.add(1, f"clock_mhz: {device['clock_mhz']}")
    out.add(1, f"hbm_bandwidth: {number(device['hbm_tb_s'])} TB/s")
    out.add(1, f"memory: {device['memory_mib']} MiB")
    out.add(1, "peak:")
    for fmt, tflops in device["peak"].items():
        out.add(2, f"{fmt}: {number(tflops)} TFLOP/s")
    out.add(0, "host:")
    out.add(1, "source: assumed, no table isolates them")
    out.add(1, f"launch_overhead: {number(datasheets.LAUNCH_OVERHEAD_US)} us")
    out.add(1, f"host_sync: {number(datasheets.HOST_SYNC_US)} us")


def pass_entry(out, name, published, ratios_of, what, band=None):
    """Efficiency relative to the forward product; `band` where the values are of unlike shapes."""
    own = {"a100-sxm": "A100-PCIe", "b200-sxm": "B200"}.get(name)
    gpus = [own] if own else ["A100-PCIe", "B200"]
    values, bands_of = {}, {}
    tables = [ratios_of(published, gpu) for gpu in gpus]
    for key in ("data_gradient", "weight_gradient"):
        middle = [median(t[key]) for t in tables]
        values[key] = significant(math.exp(math.fsum(math.log(v) for v in middle) / len(middle)), 3)
        pooled = [r / median(t[key]) for t in tables for r in t[key]]
        bands_of[key] = band or (significant(min(1.0, 1.0 / quantile(pooled, .95)), 3), significant(max(1.0, 1.0 / quantile(pooled, .05)), 3))
    evidence = "interpolated" if own else "assumed"
    whose = f"on {own}" if own else "on A100-PCIe and B200, assumed here"
    out.add(1, "passes:")
    out.add(2, f"source: \"{PUBLISHED_SOURCE}: {what} {whose}\"")
    for key in ("data_gradient", "weight_gradient"):
        low, high = bands_of[key]
        out.add(2, f"{key}: {{relative_efficiency: {number(values[key])}, low: {number(low)}, high: {number(high)}, evidence: {evidence}}}")


def gemm_sections(out, name, device, corpus, report):
    rows, software = gemm.load(corpus / "kernels" / "gemm.csv")
    out.quantise, out.dense = [], {}
    out.add(0, "gemm:")
    pass_entry(out, name, corpus / "kernels" / "gemm_published.csv", gemm.pass_ratios, "median over pairs of one layer")
    out.add(1, "tables:")
    launch, have = None, set()
    for dtype, fmt in datasheets.FORMAT_OF_DTYPE.items():
        key = (device["system"], dtype)
        if key not in rows:
            continue
        fit = gemm.fit(device, fmt, rows[key], launch)
        launch = launch or fit["p"][gemm.LAUNCH]
        have.add(fmt)
        out.dense[fmt] = (max(fit["p"][gemm.TILE0:]), fit["p"][gemm.WAVE])
        gemm_table(out, fmt, fit, software[key])
        report_line(report, name, "gemm", fmt, "", fit)
        if fmt != "bf16":
            nominal = 2.0 + datasheets.element_bytes(fmt)
            out.quantise.append((fmt, significant(min(0.95, nominal / fit["p"][gemm.QUANT_BYTES]), 3)))
    if not have:
        plain_gemm(out)
        have.add("bf16")
        launch = PLAIN_GEMM["launch_us"]
    for fmt in device["peak"]:
        if fmt in have:
            continue
        like = next(f for f in GEMM_LIKE[fmt] if f in have)
        out.add(2, f"- format: {fmt}")
        out.add(3, f"like: {like}")
        out.add(3, "evidence: assumed")
        out.add(3, f"source: the efficiencies of {like} at the peak and the bytes of {fmt}")
        out.band(3, [ASSUMED_LOW], [ASSUMED_HIGH])
        have.add(fmt)
    return launch


def gemm_table(out, fmt, fit, software):
    p, nodes = fit["p"], fit["nodes"]
    out.add(2, f"- format: {fmt}")
    out.add(3, "evidence: measured")
    out.add(3, f"source: \"{GEMM_SOURCE}\"")
    out.add(3, f"software: {software[0]}, {software[1]}")
    out.residuals(3, fit)
    out.band(3, fit["low"], fit["high"])
    ranges = ", ".join(f"{axis}: {numbers(fit['range'][axis])}" for axis in "mnk")
    out.add(3, f"range: {{{ranges}}}")
    out.add(3, f"launch: {number(p[gemm.LAUNCH])} us")
    out.add(3, f"wave_overhead: {number(p[gemm.WAVE])} us")
    out.add(3, f"split_overhead: {number(p[gemm.SPLIT])} us")
    out.add(3, f"memory_efficiency: {number(p[gemm.MEMORY])}")
    out.add(3, "tiles:")
    for (m, n), e in zip(gemm.TILES, p[gemm.TILE0:]):
        out.add(4, f"- {{m: {m}, n: {n}, efficiency: {number(e)}}}")
    if fmt != "bf16":
        out.add(3, f"quantise: {{fixed: {number(p[gemm.QUANT_FIXED])} us, bytes_per_element: {number(p[gemm.QUANT_BYTES])}}}")
    out.add(3, "correction:")
    for key in ("m", "n", "k_coarse", "n_coarse"):
        out.add(4, f"{key}: {numbers(nodes[key])}")
    first = len(nodes["m"]) * len(nodes["n"])
    second = first + len(nodes["m"]) * len(nodes["k_coarse"])
    c = fit["correction"]
    out.array(4, "by_m_n", c[:first])
    out.array(4, "by_m_k", c[first:second])
    out.array(4, "by_n_k", c[second:])


def plain_gemm(out):
    g = PLAIN_GEMM
    out.add(2, "- format: bf16")
    out.add(3, "evidence: assumed")
    out.add(3, "source: shares of peak that cuBLAS commonly reaches; nothing on this GPU was measured")
    out.band(3, [ASSUMED_LOW], [ASSUMED_HIGH])
    out.add(3, f"launch: {number(g['launch_us'])} us")
    out.add(3, f"wave_overhead: {number(g['wave_us'])} us")
    out.add(3, f"split_overhead: {number(g['split_us'])} us")
    out.add(3, f"memory_efficiency: {number(g['memory'])}")
    out.add(3, "tiles:")
    for m, n, e in g["tiles"]:
        out.add(4, f"- {{m: {m}, n: {n}, efficiency: {number(e)}}}")


def grouped_passes(path, gpu):
    stages = grouped.pass_ratios(path, gpu)
    forward = median(stages["fwd"])
    return dict(data_gradient=[v / forward for v in stages["bwd_grad_act"]],
                weight_gradient=[v / forward for v in stages["bwd_grad_w"]])


# What stands for a format without a grouped table: efficiencies relative to peak of the first that is there.
GROUPED_LIKE = {"fp32": ("bf16",), "tf32": ("bf16",), "fp16": ("bf16",),
                "bf16": ("fp8_block",), "fp8_tensor": ("fp8_block",), "fp8_block": ("fp8_tensor",),
                "mxfp8": ("fp8_block", "fp8_tensor"), "nvfp4": ("mxfp8", "fp8_block")}


def grouped_sections(out, name, device, corpus, launch, report):
    rows, software = grouped.load(corpus / "kernels")
    out.add(0, "grouped_gemm:")
    pass_entry(out, name, corpus / "kernels" / "gemm_published.csv", grouped_passes, "medians by stage", (ASSUMED_LOW, ASSUMED_HIGH))
    out.add(1, "tables:")
    have, moves = set(), []
    # DeepGEMM first: the default of fp8_block, being what reaches training sizes.
    for kernel in ("deepgemm", "cutlass"):
        for fmt in datasheets.FORMAT_OF_DTYPE.values():
            key = (device["system"], fmt, kernel)
            if key not in rows:
                continue
            fit = grouped.fit(device, fmt, kernel, rows[key], launch, *out.dense[fmt])
            grouped_table(out, fmt, kernel, fit, software[key], launch, fmt not in have)
            report_line(report, name, "grouped_gemm", fmt, kernel, fit)
            have.add(fmt)
            moves.append(fit["p"][grouped.MOVE])
    if not have:
        plain_grouped(out, launch)
        have.add("bf16")
    for _ in range(2):  # a format may stand on one that itself stands on another
        for fmt in device["peak"]:
            if fmt in have:
                continue
            like = next((f for f in GROUPED_LIKE[fmt] if f in have), None)
            if like is None:
                continue
            out.add(2, f"- format: {fmt}")
            out.add(3, f"like: {like}")
            out.add(3, "evidence: assumed")
            out.add(3, f"source: the efficiencies of {like} at the peak and the bytes of {fmt}")
            out.band(3, [ASSUMED_LOW], [ASSUMED_HIGH])
            have.add(fmt)
    return moves


def grouped_table(out, fmt, kernel, fit, software, launch, default):
    p = fit["p"]
    out.add(2, f"- format: {fmt}")
    out.add(3, f"kernel: {kernel}")
    out.add(3, f"default: {'true' if default else 'false'}")
    out.add(3, "evidence: measured")
    out.add(3, f"source: \"{GROUPED_SOURCE[kernel]}\"")
    out.add(3, f"software: {software[0]}, {software[1]}")
    out.residuals(3, fit)
    out.band(3, fit["low"], fit["high"])
    out.add(3, f"range: {{rows: {numbers(fit['range']['rows'])}, area: {numbers(fit['range']['area'])}}}")
    out.add(3, f"launch: {number(launch)} us")
    out.add(3, f"wave_overhead: {number(p[grouped.WAVE])} us")
    out.add(3, f"memory_efficiency: {number(p[grouped.MEMORY])}")
    out.add(3, "tiles:")
    for m, e in zip(grouped.ROW_TILES[kernel], p[grouped.TILE0:]):
        out.add(4, f"- {{m: {m}, n: {grouped.TILE_N}, efficiency: {number(e)}}}")
    floor = p[grouped.FLOOR] if kernel == "deepgemm" else 0.0
    out.add(3, f"operation: {{fixed: {number(p[grouped.FIXED])} us, floor: {number(floor)} us, "
               f"activation_efficiency: {number(p[grouped.ACTIVATION])}, move_efficiency: {number(p[grouped.MOVE])}}}")
    out.add(3, "correction:")
    out.add(4, f"tokens: {numbers(grouped.TOKEN_NODES[kernel])}")
    out.add(4, f"area: {numbers(grouped.AREA_NODES[kernel])}")
    out.add(4, f"work: {numbers(grouped.WORK_NODES)}")
    first = len(grouped.TOKEN_NODES[kernel]) * len(grouped.WORK_NODES)
    out.array(4, "by_tokens_work", fit["correction"][:first])
    out.array(4, "by_area", fit["correction"][first:])


def plain_grouped(out, launch):
    g = PLAIN_GROUPED
    out.add(2, "- format: bf16")
    out.add(3, "kernel: cutlass")
    out.add(3, "default: true")
    out.add(3, "evidence: assumed")
    out.add(3, "source: nothing on this GPU was measured; below its dense products")
    out.band(3, [ASSUMED_LOW], [ASSUMED_HIGH])
    out.add(3, f"launch: {number(launch)} us")
    out.add(3, f"wave_overhead: {number(g['wave_us'])} us")
    out.add(3, f"memory_efficiency: {number(g['memory'])}")
    out.add(3, "tiles:")
    out.add(4, f"- {{m: 128, n: 128, efficiency: {number(g['efficiency'])}}}")
    out.add(4, f"- {{m: 64, n: 128, efficiency: {number(g['efficiency'] * 0.8)}}}")
    out.add(3, f"operation: {{fixed: {number(g['fixed_us'])} us, floor: {number(g['floor_us'])} us, "
               f"activation_efficiency: {number(g['activation'])}, move_efficiency: {number(g['move'])}}}")


def attention_section(out, name, device, corpus, report):
    rows, software = attention.load(corpus / "kernels" / "attention_forward.csv")
    published = corpus / "kernels" / "gemm_published.csv"
    out.add(0, "attention:")
    system = device["system"]
    if system in rows:
        fit = attention.fit(device, rows[system])
        p, nodes = fit["p"], fit["nodes"]
        report_line(report, name, "attention", "bf16", "", fit)
        out.add(1, "evidence: measured")
        out.add(1, f"source: \"{ATTENTION_SOURCE}\"")
        out.add(1, f"software: {software[system][0]}, {software[system][1]}")
        out.residuals(1, fit)
        out.band(1, fit["low"], fit["high"])
        values = dict(launch_us=p[attention.LAUNCH], efficiency=p[attention.EFFICIENCY], tail=p[attention.TAIL],
                      prepare=p[attention.PREPARE])
    else:
        values, fit = PLAIN_ATTENTION, None
        out.add(1, "evidence: assumed")
        out.add(1, "source: the share of peak that fused attention commonly reaches; nothing on this GPU was measured")
        out.band(1, [ASSUMED_LOW], [ASSUMED_HIGH])
    out.add(1, f"launch: {number(values['launch_us'])} us")
    out.add(1, f"efficiency: {number(values['efficiency'])}")
    out.add(1, f"tail: {number(values['tail'])}")
    out.add(1, f"prepare_efficiency: {number(values['prepare'])}")
    own = {"a100-sxm": "A100-PCIe", "b200-sxm": "B200"}.get(name)
    ratios = [attention.backward_ratio(published, g) for g in ([own] if own else ["A100-PCIe", "B200"])]
    middle = math.exp(math.fsum(math.log(median(r)) for r in ratios) / len(ratios))
    pooled = [v / middle for r in ratios for v in r]
    out.add(1, f"backward: {{flop_ratio: {number(attention.BACKWARD_FLOP_RATIO)}, "
               f"relative_efficiency: {number(significant(middle, 3))}, "
               f"low: {number(significant(min(1.0, 1.0 / quantile(pooled, .95)), 3))}, "
               f"high: {number(significant(max(1.0, 1.0 / quantile(pooled, .05)), 3))}, "
               f"evidence: {'interpolated' if own else 'assumed'}}}")
    out.add(1, f"backward_source: \"{PUBLISHED_SOURCE}: median over shapes on "
               f"{own if own else 'A100-PCIe and B200, assumed here'}; FLOP ratio of FlashAttention-2\"")
    if fit:
        first = len(nodes["dim"]) * len(nodes["seq"]) * len(nodes["heads"])
        out.add(1, "correction:")
        for key in ("dim", "seq", "heads", "group"):
            out.add(2, f"{key}: {numbers(nodes[key])}")
        out.array(2, "by_dim_seq_heads", fit["correction"][:first])
        out.array(2, "by_dim_group", fit["correction"][first:])


def memory_section(out, moves, quantise):
    out.add(0, "memory_ops:")
    out.add(1, f"floor: {number(MEMORY_FLOOR_US)} us")
    out.add(1, "source: \"shares of HBM bandwidth assumed but for those marked interpolated, which a regression separates "
               "from tables of larger operations: permute and unpermute (expert MLP), quantise (quantised GEMM)\"")
    out.add(1, f"band: {{low: {number(MEMORY_BAND[0])}, high: {number(MEMORY_BAND[1])}}}")
    out.add(1, "efficiency:")
    measured = {}
    if moves:
        measured["permute"] = measured["unpermute"] = significant(min(0.9, max(0.2, median(moves))), 3)
    if quantise:
        measured["quantise"] = significant(median([e for _, e in quantise]), 3)
    for op in MEMORY_OPS:
        value = measured.get(op, MEMORY_OPS[op])
        out.add(2, f"{op}: {{share: {number(value)}, evidence: {'interpolated' if op in measured else 'assumed'}}}")


def collective(out, kind, fraction, base_us, step_us, half, low, high, evidence):
    out.add(3, f"{kind}: {{fraction: {number(fraction)}, base_latency: {number(base_us)} us, per_step: {number(step_us)} us, "
               f"half_size: {half} B, low: {number(low)}, high: {number(high)}, evidence: {evidence}}}")


def link_sections(out, device, corpus):
    folder = corpus / "nccl"
    data = comm.load(folder)
    out.add(0, "links:")
    line = device["nvlink_gb_s"]
    fits = comm.one_node(folder, data, device) if line and device["system"] else {}
    out.add(1, "- class: nvlink")
    out.add(2, f"line_rate: {number(line) if line else 0} GB/s")
    files = sum(f["files"] for f in fits.values())
    out.add(2, "source: \"" + (f"medians of one-node NCCL points (nccl/one_node_points.csv) and {files} nccl-tests logs" if fits
                               else "assumed") + "; line rate from the datasheet\"")
    out.add(2, "collectives:")
    for kind in comm.KINDS:
        if kind in fits:
            f = fits[kind]
            collective(out, kind, f["fraction"], f["base_us"], f["step_us"], f["half_bytes"], f["low"], f["high"], "measured")
        else:
            collective(out, kind, NVLINK_ASSUMED[kind], comm.BASE_US, 0.0 if kind in ("all_to_all", "sendrecv") else 1.0,
                       1 << 20, 0.7, 1.5, "assumed")
    nic = comm.nic(folder, data)
    own = device["nccl"].startswith("H100")
    out.add(1, "- class: nic")
    out.add(2, f"line_rate: {number(comm.NIC_LINE_GB_S)} GB/s")
    out.add(2, "source: \"medians over nccl-tests logs of one H100 cluster with 400 Gb/s a GPU, 2 and 10 nodes, from 1 GiB up"
               + ("" if own else "; assumed on this GPU") + "; start and half size assumed\"")
    out.add(2, "collectives:")
    for kind in comm.KINDS:
        f = nic.get(kind)
        stepped = 0.0 if kind in ("all_to_all", "sendrecv") else comm.NIC_STEP_US
        if f:
            collective(out, kind, f["fraction"], comm.NIC_BASE_US, stepped, comm.NIC_HALF_BYTES,
                       significant(min(0.9, f["low"]), 3), significant(max(1.2, f["high"]), 3),
                       "measured" if own else "assumed")
        else:
            collective(out, kind, 0.85, comm.NIC_BASE_US, comm.NIC_STEP_US, comm.NIC_HALF_BYTES, 0.7, 1.5, "assumed")
    out.add(1, "- class: pcie")
    out.add(2, "line_rate: 32 GB/s")
    out.add(2, "source: assumed (PCIe 4.0 x16, peer to peer through the root complex)")
    out.add(2, "collectives:")
    for kind in comm.KINDS:
        collective(out, kind, PCIE_ASSUMED[kind], 15.0, 0.0 if kind in ("all_to_all", "sendrecv") else 3.0, 1 << 20,
                   0.6, 1.7, "assumed")
