"""Small numerical tools: coordinate descent, hat functions, ridge regression with robust weights, quantiles."""

import math
from operator import mul


def descend(parameters, bounds, loss, rounds=24, step=0.3):
    """Coordinate descent on positive parameters by multiplicative steps; parameters with lo == hi stay."""
    parameters = list(parameters)
    steps = [step] * len(parameters)
    best = loss(parameters)
    for _ in range(rounds):
        for i, (low, high) in enumerate(bounds):
            if low == high:
                continue
            for factor in (1.0 + steps[i], 1.0 / (1.0 + steps[i])):
                trial = list(parameters)
                trial[i] = min(high, max(low, trial[i] * factor))
                if trial[i] == parameters[i]:
                    continue
                value = loss(trial)
                if value < best - 1e-7:
                    parameters, best = trial, value
                    break
            else:
                steps[i] *= 0.6
    return parameters


def hat(x, nodes):
    """Weights of piecewise linear interpolation in log(x), held constant outside: [(index, weight), ...]."""
    if len(nodes) == 1 or x <= nodes[0]:
        return [(0, 1.0)]
    if x >= nodes[-1]:
        return [(len(nodes) - 1, 1.0)]
    i = 0
    while x >= nodes[i + 1]:
        i += 1
    f = math.log(x / nodes[i]) / math.log(nodes[i + 1] / nodes[i])
    return [(i, 1.0 - f), (i + 1, f)] if f > 0.0 else [(i, 1.0)]


def cross(a, b, columns):
    """The product basis of two hats, row-major with `columns` entries in b's direction."""
    return [(i * columns + j, u * v) for i, u in a for j, v in b]


def shift(terms, offset):
    return [(i + offset, w) for i, w in terms]


def ridge(rows, targets, size, penalty, rounds=5, floor=0.01):
    """Least absolute deviations by reweighting: minimise sum w (y - X c)^2 + penalty |c|^2, w ~ 1/|residual|.

    rows: sparse, [(column, value), ...]. Unused columns come out as 0.
    """
    weights = [1.0] * len(rows)
    solution = [0.0] * size
    for _ in range(rounds):
        matrix = [[0.0] * (i + 1) for i in range(size)]
        right = [0.0] * size
        for row, y, w in zip(rows, targets, weights):
            for i, u in row:
                wu = w * u
                right[i] += wu * y
                line = matrix[i]
                for j, v in row:
                    if j <= i:
                        line[j] += wu * v
        for i in range(size):
            matrix[i][i] += penalty
        solution = cholesky_solve(matrix, right)
        weights = []
        for row, y in zip(rows, targets):
            fit = 0.0
            for i, u in row:
                fit += u * solution[i]
            weights.append(1.0 / max(abs(y - fit), floor))
        mean = math.fsum(weights) / len(weights)
        weights = [w / mean for w in weights]
    return solution


def cholesky_solve(matrix, right):
    """Solves a symmetric positive definite system; `matrix` holds the lower triangle and is overwritten."""
    n = len(right)
    for i in range(n):
        row_i = matrix[i]
        for j in range(i):
            row_j = matrix[j]
            row_i[j] = (row_i[j] - math.fsum(map(mul, row_i[:j], row_j[:j]))) / row_j[j]
        row_i[i] = math.sqrt(row_i[i] - math.fsum(v * v for v in row_i[:i]))
    y = []
    for i in range(n):
        y.append((right[i] - math.fsum(map(mul, matrix[i][:i], y))) / matrix[i][i])
    for i in reversed(range(n)):
        y[i] /= matrix[i][i]
        for j in range(i):
            y[j] -= matrix[i][j] * y[i]
    return y


def quantile(values, q):
    """Linear interpolation between order statistics."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    at = q * (len(ordered) - 1)
    i = int(at)
    if i + 1 >= len(ordered):
        return ordered[-1]
    return ordered[i] + (at - i) * (ordered[i + 1] - ordered[i])


def median(values):
    return quantile(values, 0.5)


def significant(x, digits=4):
    """Rounded to so many significant digits; what a file will say."""
    return float(f"{x:.{digits}g}")


def errors_of(ratios):
    """Median, mean, 90 % and worst |error|, where error = predicted / measured - 1 and ratios = measured / predicted."""
    errors = [abs(1.0 / r - 1.0) for r in ratios]
    if not errors:
        return 0.0, 0.0, 0.0, 0.0
    return median(errors), math.fsum(errors) / len(errors), quantile(errors, 0.9), max(errors)


BAND_EDGES_US = (30.0, 300.0, 3000.0)  # classes of predicted time; launch-bound kernels scatter more


def bands(pairs, widen=1.0):
    """90 % bands of measured/predicted per class of predicted time: ([low...], [high...]).

    pairs: (predicted in us, measured/predicted). A class with under 20 pairs takes the band of all."""
    everything = [r for _, r in pairs]
    lows, highs = [], []
    for c in range(len(BAND_EDGES_US) + 1):
        lo = BAND_EDGES_US[c - 1] if c else 0.0
        hi = BAND_EDGES_US[c] if c < len(BAND_EDGES_US) else math.inf
        part = [r for p, r in pairs if lo <= p < hi]
        if len(part) < 20:
            part = everything
        lows.append(significant(math.exp(widen * math.log(min(1.0, quantile(part, 0.05)))), 4))
        highs.append(significant(math.exp(widen * math.log(max(1.0, quantile(part, 0.95)))), 4))
    return lows, highs
