"""The hold-out rule and the random draws; sim/cost/kernel_rows.cc computes the same numbers."""

_MASK = (1 << 64) - 1


def splitmix64(x):
    """One step of Vigna's splitmix64 (https://prng.di.unimi.it/splitmix64.c)."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def left_out(*sizes):
    """True for every fifth shape: a chained hash of its sizes, mod 5. The same shape is left out for every GPU,
    format and distribution."""
    h = 0
    for size in sizes:
        h = splitmix64(h ^ size)
    return h % 5 == 0


POWER_LAW_SAMPLES = 6


def power_law_counts(tokens, topk, experts, ranks, alpha, sample):
    """Tokens of each expert of the hottest rank, in one draw.

    As the source of the tables draws them (ai-dynamo/aiconfigurator, collect_moe.py, power_law_logits_v3): each
    expert's weight follows p(x) ~ x^-alpha on [1, 0.8 tokens] (on [0.01, 2] for less than one token an expert);
    the weights are scaled to tokens*topk; of `ranks` groups of consecutive experts the one with most tokens is timed.
    """
    low, high = (1.0, tokens * 0.8) if tokens * topk > experts else (0.01, 2.0)
    a = 1.0 - alpha
    low_a, high_a = low**a, high**a
    seed = splitmix64(sample * 1000003 + int(alpha * 1000.0 + 0.5))
    weights = []
    for expert in range(experts):
        u = (splitmix64(seed ^ expert) >> 11) / float(1 << 53)
        weights.append(((high_a - low_a) * u + low_a) ** (1.0 / a))
    total = 0.0
    for weight in weights:
        total += weight
    scale = tokens * topk / total
    counts = [int(weight * scale + 0.5) for weight in weights]
    group = experts // ranks
    best, best_sum = 0, -1
    for rank in range(ranks):
        rank_sum = sum(counts[rank * group : (rank + 1) * group])
        if rank_sum > best_sum:
            best, best_sum = rank, rank_sum
    return counts[best * group : (best + 1) * group]


def even_counts(rows, experts):
    base, rest = divmod(rows, experts)
    return [base + 1] * rest + [base] * (experts - rest)


UNIFORM_BLOCK = 128  # rows; the DeepEP tables fill experts block by block


def table_counts(distribution, tokens, topk, experts, ranks):
    """The per-expert counts of one row, one list a draw."""
    local = experts // ranks
    if distribution == "balanced":
        return [even_counts(tokens * topk // ranks, local)]
    if distribution == "uniform":
        rows = tokens * topk // ranks
        active = max(1, min(local, rows // UNIFORM_BLOCK))
        return [even_counts(rows, active) + [0] * (local - active)]
    alpha = float(distribution.rsplit("_", 1)[1])
    return [power_law_counts(tokens, topk, experts, ranks, alpha, s) for s in range(POWER_LAW_SAMPLES)]
