"""Megatron-Core's configuration classes take what Megatron-Bridge's overrides say of them, and its rank generator makes the groups that
the exported traces have.

    check_megatron_core.py OVERRIDES COMM_GROUPS
"""
import dataclasses
import json
import sys
import warnings

warnings.simplefilter("ignore")
from megatron.core.distributed import DistributedDataParallelConfig  # noqa: E402
from megatron.core.optimizer import OptimizerConfig  # noqa: E402
from megatron.core.parallel_state import RankGenerator  # noqa: E402
from megatron.core.transformer.transformer_config import TransformerConfig  # noqa: E402

# Of Bridge's model provider, which stands on TransformerConfig.
PROVIDER = {"seq_length"}
# Asks for kernels of TransformerEngine that are not here; the name is checked all the same.
NEEDS_KERNELS = {"moe_permute_fusion"}
SHAPE = {"num_layers": 4, "hidden_size": 1024, "num_attention_heads": 8, "num_moe_experts": 16, "moe_router_topk": 2, "moe_ffn_hidden_size": 512,
         "add_bias_linear": False}


def value_of(text):
    if text in ("null", "true", "false") or text[:1] in '"[' or text.lstrip("-").replace(".", "", 1).isdigit():
        return json.loads(text)
    return text


def read_sections(path):
    """The YAML of the export: sections of plain values."""
    sections = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, _, text = line.strip().partition(":")
            if line.startswith("#") or not key:
                continue
            if not line.startswith(" "):
                section = sections.setdefault(key, {})
            else:
                section[key] = value_of(text.strip())
    return sections


def check_configs(sections):
    taken = 0
    for kind, section, shape in ((TransformerConfig, "model", SHAPE), (DistributedDataParallelConfig, "ddp", {}), (OptimizerConfig, "optimizer", {})):
        fields = {field.name for field in dataclasses.fields(kind)}
        values = {k: v for k, v in sections[section].items() if k not in PROVIDER | NEEDS_KERNELS and not str(v).startswith("torch.")}
        unknown = set(sections[section]) - fields - PROVIDER
        assert not unknown, "%s has no %s" % (kind.__name__, sorted(unknown))
        made = kind(**shape, **values)
        for key, value in values.items():
            got = getattr(made, key)
            assert got == value or value is None, "%s.%s is %r, not %r" % (kind.__name__, key, got, value)
        taken += len(values)
    assert made is not None and sections["model"]["expert_model_parallel_size"] == 8
    try:
        TransformerConfig(**{**SHAPE, "num_moe_experts": None}, expert_model_parallel_size=8)
    except ValueError:
        return taken
    sys.exit("experts over 8 ranks were taken by a model without experts")


def check_groups(path):
    """TP2 PP2 EP2 DP2: dense and expert grids, order tp-cp-ep-dp-pp."""
    with open(path, encoding="utf-8") as file:
        ours = sorted(map(tuple, json.load(file).values()))
    dense = RankGenerator(tp=2, ep=1, dp=2, pp=2, cp=1, order="tp-cp-ep-dp-pp")
    expert = RankGenerator(tp=1, ep=2, dp=2, pp=2, cp=1, order="tp-cp-ep-dp-pp")
    theirs = [tuple(ranks) for grid, token in ((dense, "tp"), (expert, "ep"), (dense, "dp"), (expert, "dp")) for ranks in grid.get_ranks(token)]
    assert ours == sorted(theirs), "%s and Megatron's %s" % (ours, sorted(theirs))
    return len(ours)


print("%d values taken by TransformerConfig, DistributedDataParallelConfig and OptimizerConfig; %d groups are RankGenerator's"
      % (check_configs(read_sections(sys.argv[1])), check_groups(sys.argv[2])))
