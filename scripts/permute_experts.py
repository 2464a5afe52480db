#!/usr/bin/env python3
"""Puts the experts of a checkpoint in the order that a plan asks for (expert-permutation.json of `moeplan export`).

    scripts/permute_experts.py PERMUTATION CHECKPOINT OUT [--dry-run] [--groups N]

CHECKPOINT is a .safetensors file, a PyTorch file (.pt, .pth, .bin) or a folder of either (with or without model.safetensors.index.json);
OUT is made, and must not be there. In each MoE layer that the file names, position s takes old expert list[s]: rows of the router's weight and biases, weights of
each expert (`experts.7.up_proj.weight` is renamed, `experts.gate_up_proj` of shape [experts, ...] has its rows moved), and whatever
optimizer states carry these names. The network computes the same function, since what a token chooses moves with its expert. Where
the router chooses among groups (`n_group` of config.json, or --groups), groups have to stay whole, and others are refused.

Everything else is copied. What was written is read again and compared with the original, byte by byte, before OUT gets its name. A
tensor of an expert or a router that this does not understand ends it: nothing is guessed. Needs Python 3.8 and nothing else, and memory
of a few MiB; for PyTorch's files needs PyTorch (2.1 or later), which reads weights alone (no code of the file runs) and holds a file in
memory. Optimizer states by number (torch.optim's "state") say of no tensor whose it is and are refused, and so are .distcp folders.
"""
import argparse
import json
import os
import re
import shutil
import struct
import sys

CHUNK = 1 << 22
PYTORCH = (".pt", ".pth", ".bin")
LAYER = re.compile(r"(?:^|\.)layers\.(\d+)\.(.+)$")
ONE_EXPERT = re.compile(r"^(.*?(?<!shared_)experts\.)(\d+)(\..+)$")
ROUTER = re.compile(r"(?:^|\.)(?:gate|router)(?:\.(?:classifier|linear|wg))?\.(?:weight|bias|e_score_correction_bias|expert_bias)(?:\.\w+)?$"
                    r"|(?:^|\.)(?:e_score_correction_bias|expert_bias)(?:\.\w+)?$")
FUSED = re.compile(r"(?:^|\.)(?<!shared_)experts\.\w+(?:\.\w+)*$")
OF_EXPERTS = re.compile(r"(?:^|\.)(?:(?<!shared_)experts?|gate|router|e_score_correction_bias|expert_bias)(?:\.|$)")
MOST_HEADER = 1 << 28


class Refusal(Exception):
    pass


def read_permutation(path):
    with open(path, encoding="utf-8") as file:
        try:
            text = json.load(file)
        except ValueError as error:
            raise Refusal("%s: no JSON: %s" % (path, error))
    if not isinstance(text, dict) or not isinstance(text.get("layers"), dict) or not text["layers"]:
        raise Refusal("%s: expected {\"ep\": N, \"layers\": {\"LAYER\": [expert, ...]}}" % path)
    layers = {}
    for key, order in text["layers"].items():
        whole = isinstance(order, list) and all(isinstance(e, int) and not isinstance(e, bool) for e in order)
        if not key.isdigit() or not whole or sorted(order) != list(range(len(order))):
            raise Refusal("%s: layer %s: expected each expert once" % (path, key))
        layers[int(key)] = order
    return layers


class Shard:
    """A .safetensors file: eight bytes of length, a JSON header, the tensors' bytes."""

    def __init__(self, path):
        self.path = path
        size = os.path.getsize(path)
        with open(path, "rb") as file:
            head = file.read(8)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
            if not 2 <= length <= min(MOST_HEADER, size - 8):
                raise Refusal("%s: no safetensors file: its header does not fit into it" % path)
            try:
                header = json.loads(file.read(length).decode("utf-8"))
            except ValueError as error:
                raise Refusal("%s: its header is no JSON: %s" % (path, error))
        self.begin = 8 + length
        self.metadata = header.pop("__metadata__", None)
        self.tensors = header
        for name, tensor in header.items():
            offsets = tensor.get("data_offsets") if isinstance(tensor, dict) else None
            if not offsets or len(offsets) != 2 or not 0 <= offsets[0] <= offsets[1] <= size - self.begin or not isinstance(tensor.get("shape"), list):
                raise Refusal("%s: tensor %s: offsets or shape do not fit the file" % (path, name))


def what_to_do(name, shape, layers):
    """("keep",), ("rename", new name) or ("rows", order); counts what it saw in `layers`."""
    match = LAYER.search(name)
    if not match or int(match.group(1)) not in layers:
        return ("keep",)
    state = layers[int(match.group(1))]
    rest, order = match.group(2), state["order"]
    if "shared_expert" in rest:
        return ("keep",)
    one = ONE_EXPERT.match(rest)
    if one:
        expert = int(one.group(2))
        if expert >= len(order):
            raise Refusal("%s: expert %d of a layer of %d" % (name, expert, len(order)))
        state["experts"].add(expert)
        return ("rename", name[:match.start(2)] + one.group(1) + str(state["place"][expert]) + one.group(3))
    if ROUTER.search(rest) or FUSED.search(rest):
        if not shape or shape[0] != len(order):
            raise Refusal("%s: its shape %s does not begin with the %d experts of the layer" % (name, shape, len(order)))
        state["router" if ROUTER.search(rest) else "fused"] += 1
        return ("rows", order)
    if OF_EXPERTS.search(rest):
        raise Refusal("%s: a tensor of experts or of a router that is not understood" % name)
    return ("keep",)


def pieces(shard, name, order):
    """(offset, bytes) of a tensor in the file, in the order of its new rows."""
    begin, end = shard.tensors[name]["data_offsets"]
    if order is None:
        return [(shard.begin + begin, end - begin)]
    row = (end - begin) // len(order)
    if row * len(order) != end - begin:
        raise Refusal("%s: %d bytes are no %d rows" % (name, end - begin, len(order)))
    return [(shard.begin + begin + old * row, row) for old in order]


def stream(file, parts):
    for offset, size in parts:
        file.seek(offset)
        while size > 0:
            block = file.read(min(CHUNK, size))
            if not block:
                raise Refusal("%s: ends too early" % file.name)
            size -= len(block)
            yield block


def import_torch(path):
    try:
        import torch
    except ImportError:
        raise Refusal("%s: PyTorch's own form, and no PyTorch here to read it; install it, or write the checkpoint with safetensors" % path)
    return torch


class TorchFile:
    """A file of torch.save(): dicts in dicts with tensors at their ends. A tensor's name is its keys, joined by dots."""

    def __init__(self, path):
        self.path = path
        torch = import_torch(path)
        try:
            self.root = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of it
            raise Refusal("%s: PyTorch cannot read it: %s" % (path, str(error).splitlines()[0] if str(error) else type(error).__name__))
        self.values, self.tensors, self.below = {}, {}, {}
        self.collect(self.root, ())

    def collect(self, value, keys):
        torch = import_torch(self.path)
        if isinstance(value, torch.Tensor):
            name = ".".join(map(str, keys))
            if any(isinstance(key, int) for key in keys) and "state" in keys:
                raise Refusal("%s: %s: optimizer states by number; write them by the names of their weights" % (self.path, name))
            if name in self.tensors:
                raise Refusal("%s: two tensors are called %s" % (self.path, name))
            self.values[name] = value
            for depth in range(1, len(keys) + 1):
                self.below.setdefault(".".join(map(str, keys[:depth])), []).append(name)
            self.tensors[name] = {"shape": list(value.shape), "dtype": str(value.dtype)}
        elif isinstance(value, dict):
            for key, inner in value.items():
                self.collect(inner, keys + (key,))
        elif isinstance(value, (list, tuple)):
            for number, inner in enumerate(value):
                self.collect(inner, keys + (number,))

    def permuted(self, value, keys, actions):
        """The same with its keys renamed and its rows moved."""
        torch = import_torch(self.path)
        if isinstance(value, torch.Tensor):
            action = actions[".".join(map(str, keys))]
            return value[torch.tensor(action[1])] if action[0] == "rows" else value
        if isinstance(value, dict):
            made = type(value)()
            for key, inner in value.items():
                new = self.new_key(key, keys, actions)
                if new in made:
                    raise Refusal("%s: two tensors would be called %s" % (self.path, new))
                made[new] = self.permuted(inner, keys + (key,), actions)
            if getattr(value, "_metadata", None) is not None:
                made._metadata = value._metadata
            return made
        if isinstance(value, (list, tuple)):
            return type(value)(self.permuted(inner, keys + (number,), actions) for number, inner in enumerate(value))
        return value

    def new_key(self, key, keys, actions):
        """Where the number of an expert stands in this key."""
        prefix = "".join(str(k) + "." for k in keys)
        name = prefix + str(key)
        found = {str(key)}
        for tensor in self.below.get(name, ()):
            action, suffix = actions[tensor], tensor[len(name):]
            if action[0] == "rename" and action[1] != tensor and action[1].startswith(prefix) and action[1].endswith(suffix):
                found.add(action[1][len(prefix):len(action[1]) - len(suffix)])
        found = found - {str(key)} or found
        if len(found) > 1:
            raise Refusal("%s: %s: keys of experts are not understood" % (self.path, name))
        return type(key)(found.pop()) if isinstance(key, int) else found.pop()


def write_torch(file, actions, path):
    import_torch(file.path).save(file.permuted(file.root, (), actions), path)
    with open(path, "rb") as out:
        os.fsync(out.fileno())


def compare_torch(file, actions, path):
    """Reads what was written and compares it with the original."""
    torch = import_torch(path)
    written = TorchFile(path)
    if len(written.values) != len(file.values):
        raise Refusal("%s: has other tensors than the original" % path)
    for name, value in file.values.items():
        new = actions[name][1] if actions[name][0] == "rename" else name
        twin = written.values.get(new)
        rows = actions[name][1] if actions[name][0] == "rows" else None
        if twin is None or twin.dtype != value.dtype or not torch.equal(twin, value if rows is None else value[torch.tensor(rows)]):
            raise Refusal("%s: %s differs from the original" % (path, new))


def write_shard(shard, actions, path):
    """The same tensors in the same places of the file, under their new names and with their rows moved."""
    header = {"__metadata__": shard.metadata} if shard.metadata is not None else {}
    names = sorted(shard.tensors, key=lambda n: shard.tensors[n]["data_offsets"])
    at = 0
    for name in names:
        begin, end = shard.tensors[name]["data_offsets"]
        new = actions[name][1] if actions[name][0] == "rename" else name
        if new in header:
            raise Refusal("%s: two tensors would be called %s" % (shard.path, new))
        header[new] = dict(shard.tensors[name], data_offsets=[at, at + end - begin])
        at += end - begin
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with open(shard.path, "rb") as old, open(path, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            for block in stream(old, pieces(shard, name, actions[name][1] if actions[name][0] == "rows" else None)):
                out.write(block)
        out.flush()
        os.fsync(out.fileno())


def compare(shard, actions, path):
    """Reads what was written and compares it with the original."""
    written = Shard(path)
    for name, tensor in shard.tensors.items():
        new = actions[name][1] if actions[name][0] == "rename" else name
        twin = written.tensors.get(new)
        if twin is None or twin["shape"] != tensor["shape"] or twin["dtype"] != tensor["dtype"]:
            raise Refusal("%s: %s was not written as it should be" % (path, new))
        with open(shard.path, "rb") as old, open(path, "rb") as out:
            left = stream(old, pieces(shard, name, actions[name][1] if actions[name][0] == "rows" else None))
            right = stream(out, pieces(written, new, None))
            a = b = b""
            while True:
                a = a or next(left, b"")
                b = b or next(right, b"")
                common = min(len(a), len(b))
                if common == 0:
                    break
                if a[:common] != b[:common]:
                    raise Refusal("%s: %s differs from the original" % (path, new))
                a, b = a[common:], b[common:]
            if a or b:
                raise Refusal("%s: %s is of another length" % (path, new))


def check_groups(layers, groups):
    for layer, order in layers.items():
        if groups <= 1:
            continue
        if len(order) % groups:
            raise Refusal("layer %d: %d experts are no %d groups" % (layer, len(order), groups))
        size = len(order) // groups
        for group in range(groups):
            if len({e // size for e in order[group * size:(group + 1) * size]}) > 1:
                raise Refusal("layer %d: the router chooses among %d groups, and this order takes group %d apart: another function"
                              % (layer, groups, group))


def groups_of(folder):
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        return 1
    with open(path, encoding="utf-8") as file:
        return int(json.load(file).get("n_group") or 1)


def find_files(checkpoint):
    """(shards, other files) below the checkpoint."""
    if os.path.isfile(checkpoint):
        return [checkpoint], []
    if not os.path.isdir(checkpoint):
        raise Refusal("%s: no such file or folder" % checkpoint)
    names = sorted(n for n in os.listdir(checkpoint) if os.path.isfile(os.path.join(checkpoint, n)))
    for name in names:
        if name.endswith(".distcp"):
            raise Refusal("%s: a distributed checkpoint of PyTorch; write it with safetensors" % os.path.join(checkpoint, name))
        if name.endswith(PYTORCH):
            import_torch(os.path.join(checkpoint, name))
    shards = [os.path.join(checkpoint, n) for n in names if n.endswith((".safetensors",) + PYTORCH)]
    if not shards:
        raise Refusal("%s: found no .safetensors, .pt, .pth or .bin" % checkpoint)
    return shards, [os.path.join(checkpoint, n) for n in names if not n.endswith((".safetensors",) + PYTORCH)]


def write_index(path, out, renamed):
    with open(path, encoding="utf-8") as file:
        index = json.load(file)
    index["weight_map"] = {renamed.get(name, name): shard for name, shard in index["weight_map"].items()}
    with open(out, "w", encoding="utf-8") as file:
        json.dump(index, file, indent=2, sort_keys=True)
        file.write("\n")


def permute(permutation, checkpoint, out, dry_run, groups):
    orders = read_permutation(permutation)
    shards, others = find_files(checkpoint)
    check_groups(orders, groups or groups_of(os.path.dirname(shards[0]) or "."))
    layers = {}
    for layer, order in orders.items():
        place = [0] * len(order)
        for position, old in enumerate(order):
            place[old] = position
        layers[layer] = {"order": order, "place": place, "experts": set(), "router": 0, "fused": 0}
    read = [TorchFile(path) if path.endswith(PYTORCH) else Shard(path) for path in shards]
    actions = [{name: what_to_do(name, tensor["shape"], layers) for name, tensor in shard.tensors.items()} for shard in read]
    for layer, state in sorted(layers.items()):
        if not state["router"]:
            raise Refusal("layer %d: found no router weight of %d experts" % (layer, len(state["order"])))
        if not state["fused"] and len(state["experts"]) != len(state["order"]):
            raise Refusal("layer %d: found weights of %d of its %d experts" % (layer, len(state["experts"]), len(state["order"])))
    renamed = {name: action[1] for one in actions for name, action in one.items() if action[0] == "rename"}
    rows = sum(action[0] == "rows" for one in actions for action in one.values())
    print("%d layers: %d tensors get another name, %d have rows moved, %d stay" %
          (len(layers), sum(a != b for a, b in renamed.items()), rows, sum(len(one) for one in actions) - len(renamed) - rows))
    if dry_run:
        return
    if os.path.exists(out):
        raise Refusal("%s: is there already" % out)
    partial = out.rstrip("/") + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(partial)
    try:
        for shard, action in zip(read, actions):
            path = os.path.join(partial, os.path.basename(shard.path))
            if isinstance(shard, TorchFile):
                write_torch(shard, action, path)
                compare_torch(shard, action, path)
            else:
                write_shard(shard, action, path)
                compare(shard, action, path)
        for path in others:
            target = os.path.join(partial, os.path.basename(path))
            if path.endswith((".safetensors.index.json", ".bin.index.json")):
                write_index(path, target, renamed)
            else:
                shutil.copy2(path, target)
        os.rename(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    print("wrote %s: read again, and the same but for the order of experts" % out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("permutation")
    parser.add_argument("checkpoint")
    parser.add_argument("out", help="folder to make")
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
    parser.add_argument("--groups", type=int, default=0, help="router groups (default: n_group of the checkpoint's config.json, else 1)")
    arguments = parser.parse_args()
    try:
        permute(arguments.permutation, arguments.checkpoint, arguments.out, arguments.dry_run, arguments.groups)
    except (Refusal, OSError) as error:
        print("error: %s" % error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
