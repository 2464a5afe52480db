"""scripts/permute_experts.py on checkpoints that PyTorch and safetensors wrote: the network gives the same outputs, and so does the
next training step, optimizer states and all. PyTorch's own file and safetensors give the same.

    check_permutation.py PERMUTE_EXPERTS EXPERT_PERMUTATION FOLDER
"""
import json
import os
import subprocess
import sys

import safetensors.torch
import torch

import tiny_moe

STATES = ("exp_avg", "exp_avg_sq")
TOLERANCE = 1e-6


def tensors_of(network, optimizer):
    tensors = {}
    for name, parameter in network.named_parameters():
        tensors[name] = parameter.detach().clone()
        for state in STATES:
            tensors[name + "." + state] = optimizer.state[parameter][state].clone()
    return tensors


def restore(tensors, steps):
    network = tiny_moe.TinyMoe()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(tensors[name])
            optimizer.state[parameter] = {state: tensors[name + "." + state].clone() for state in STATES}
            optimizer.state[parameter]["step"] = torch.tensor(float(steps))
    return network, optimizer


def check_torch_file(run, tensors, folder):
    """Weights flat, states once by kind and once by weight: the numbers of experts stand in keys of either depth."""
    weights = [name for name in tensors if not name.endswith(STATES)]
    nested = {"model": {n: tensors[n] for n in weights}, STATES[0]: {n: tensors[n + "." + STATES[0]] for n in weights},
              "states": {n: {STATES[1]: tensors[n + "." + STATES[1]]} for n in weights}, "step": 3}
    path = os.path.join(folder, "checkpoint.pt")
    torch.save(nested, path)
    run(path, os.path.join(folder, "permuted-pt"))
    moved = torch.load(os.path.join(folder, "permuted-pt", "checkpoint.pt"), weights_only=True)
    assert moved["step"] == 3
    found = dict(moved["model"])
    found.update({n + "." + STATES[0]: t for n, t in moved[STATES[0]].items()})
    found.update({n + "." + STATES[1]: t[STATES[1]] for n, t in moved["states"].items()})
    # States by number say of no tensor whose they are.
    torch.save({"model": nested["model"], "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}}, path)
    try:
        run(path, os.path.join(folder, "refused"))
    except subprocess.CalledProcessError:
        return found
    sys.exit("optimizer states by number were taken")


def differ(a, b):
    return (a - b).abs().max().item()


def main():
    script, permutation, folder = sys.argv[1:]
    torch.manual_seed(1)
    torch.use_deterministic_algorithms(True)
    network = tiny_moe.TinyMoe()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    data = torch.randint(0, tiny_moe.VOCABULARY, (5, 257))
    for batch in data[:3]:
        tiny_moe.train_step(network, optimizer, batch)
    before = os.path.join(folder, "checkpoint")
    os.makedirs(before)
    safetensors.torch.save_file(tensors_of(network, optimizer), os.path.join(before, "model.safetensors"))

    def run(source, out):
        subprocess.run([sys.executable, script, permutation, source, out], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    after = os.path.join(folder, "permuted")
    run(before, after)
    moved = safetensors.torch.load_file(os.path.join(after, "model.safetensors"))
    twin = check_torch_file(run, tensors_of(network, optimizer), folder)
    assert set(twin) == set(moved) and all(torch.equal(twin[n], moved[n]) for n in moved), "the PyTorch file has other tensors"
    other, its_optimizer = restore(moved, 3)
    with open(permutation, encoding="utf-8") as file:
        layers = json.load(file)["layers"]
    assert len(layers) == 3 and any(order != sorted(order) for order in layers.values()), "nothing was permuted"

    with torch.no_grad():
        outputs = differ(network(data[4]), other(data[4]))
        assert outputs <= TOLERANCE, "outputs differ by %g" % outputs
        # The same with the router left as it was: another function, or this check could not fail.
        wrong, _ = restore({**moved, **{n: t for n, t in tensors_of(network, optimizer).items() if ".gate.weight" in n}}, 3)
        assert differ(network(data[4]), wrong(data[4])) > 100 * TOLERANCE, "a router of another order changes nothing"

    losses = tiny_moe.train_step(network, optimizer, data[3]), tiny_moe.train_step(other, its_optimizer, data[3])
    assert abs(losses[0] - losses[1]) <= TOLERANCE, "losses %r differ" % (losses,)
    with torch.no_grad():
        stepped = differ(network(data[4]), other(data[4]))
    assert stepped <= TOLERANCE, "outputs behind a training step differ by %g" % stepped
    # Each expert of the new order is the old one that the file names.
    ours, theirs = dict(network.named_parameters()), dict(other.named_parameters())
    weights = 0.0
    for layer, order in layers.items():
        for place, old in enumerate(order):
            name = "model.layers.%s.mlp.experts.%d.up_proj.weight"
            weights = max(weights, differ(ours[name % (layer, old)], theirs[name % (layer, place)]))
    assert weights <= TOLERANCE, "weights behind a training step differ by %g" % weights
    print("outputs differ by %.1e, behind a training step by %.1e, its weights by %.1e" % (outputs, stepped, weights))


main()
