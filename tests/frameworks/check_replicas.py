"""A plan with replicas through an SGLang-form expert map: a reference that computes slot by slot gives what the network gives, and the
gradients of an expert's replicas sum to the expert's.

    check_replicas.py EXPERT_LOCATION EP
"""
import json
import sys

import torch

import tiny_moe

TOLERANCE = 1e-6


def copies_of(row):
    """Slots of each expert, in order."""
    slots = [[] for _ in range(tiny_moe.EXPERTS)]
    for slot, expert in enumerate(row):
        slots[expert].append(slot)
    return slots


def through_slots(routed, row, ranks, x):
    """What the ranks compute: every slot has weights of its own, tokens of an expert take turns among its slots."""
    per_rank = len(row) // ranks
    replicas = [[p.detach().clone().requires_grad_() for p in routed.experts[expert].parameters()] for expert in row]
    weights, chosen = routed.route(x)
    slots = copies_of(row)
    turn = torch.arange(len(x))
    table = torch.tensor([[s[i % len(s)] for i in range(max(map(len, slots)))] for s in slots])
    sizes = torch.tensor([len(s) for s in slots])
    slot_of = table[chosen, (turn[:, None] % sizes[chosen])]
    out = torch.zeros_like(x)
    tokens_of_rank = [0] * ranks
    for rank in range(ranks):
        for slot in range(rank * per_rank, (rank + 1) * per_rank):
            token, place = torch.where(slot_of == slot)
            tokens_of_rank[rank] += len(token)
            gate, up, down = replicas[slot]
            values = torch.nn.functional.silu(x[token] @ gate.T) * (x[token] @ up.T) @ down.T
            out = out.index_add(0, token, values * weights[token, place, None])
    return out, replicas, tokens_of_rank


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        rows = json.load(file)["physical_to_logical_map"]
    ranks = int(sys.argv[2])
    torch.manual_seed(2)
    network = tiny_moe.TinyMoe(len(rows))
    worst = gradients = 0.0
    copies = 0
    for number, row in enumerate(rows):
        routed = network.model.layers[number].mlp
        if not isinstance(routed, tiny_moe.Routed):
            continue
        assert len(row) % ranks == 0 and set(row) == set(range(tiny_moe.EXPERTS)), "row %d" % number
        copies += len(row) - tiny_moe.EXPERTS
        x = torch.randn(512, tiny_moe.HIDDEN)
        target = torch.randn_like(x)
        expected = routed(x)
        out, replicas, tokens = through_slots(routed, row, ranks, x)
        assert sum(tokens) == len(x) * tiny_moe.TOP
        worst = max(worst, (out - expected).abs().max().item())
        routed.zero_grad()
        (expected * target).sum().backward()
        (out * target).sum().backward()
        for expert, slots in enumerate(copies_of(row)):
            for i, parameter in enumerate(routed.experts[expert].parameters()):
                summed = sum(replicas[slot][i].grad for slot in slots)
                scale = parameter.grad.abs().max().item() + 1e-30
                gradients = max(gradients, (summed - parameter.grad).abs().max().item() / scale)
    assert copies > 0, "the plan has no replicas"
    assert worst <= TOLERANCE, "outputs differ by %g" % worst
    assert gradients <= 1e-5, "gradients differ by %g of the largest" % gradients
    print("%d replicas: outputs differ by %.1e, summed gradients by %.1e of the largest" % (copies, worst, gradients))


main()
