"""DeepSpeed reads ds_config.json as deepspeed.initialize() would, of 8 ranks that are only imagined, and validates AutoEP.

    check_deepspeed.py DS_CONFIG
"""
import json
import sys

import deepspeed.runtime.config as config
from deepspeed.module_inject.auto_ep_config import validate_autoep_config

RANKS = 8

with open(sys.argv[1], encoding="utf-8") as file:
    text = json.load(file)
config.dist.get_rank = lambda *_: 0
config.dist.get_world_size = lambda *_: RANKS
read = config.DeepSpeedConfig(sys.argv[1])
assert read.train_batch_size == 32 and read.train_micro_batch_size_per_gpu == 1 and read.gradient_accumulation_steps == 4
assert read.zero_config.stage == 1 and read.zero_config.overlap_comm
assert read.expert_parallel_config.enabled and read.expert_parallel_config.autoep_size == 8
validate_autoep_config(read.expert_parallel_config, RANKS, 1, 1, 1, zero_stage=read.zero_optimization_stage)
# It refuses an EP that does not tile the ranks, or this would say nothing.
text["expert_parallel"]["autoep_size"] = 5
try:
    validate_autoep_config(config.DeepSpeedConfig(text).expert_parallel_config, RANKS, 1, 1, 1)
except ValueError as error:
    print("DeepSpeedConfig and validate_autoep_config take it; of EP 5: %s" % str(error).splitlines()[0][:60])
else:
    sys.exit("EP 5 on 8 ranks was taken")
