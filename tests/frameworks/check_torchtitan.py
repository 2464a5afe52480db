"""planned.py sets torchtitan's own configuration classes, whose slots refuse fields that they do not have.

    check_torchtitan.py PLANNED

Trainer.Config itself needs a nightly PyTorch: its two sections are those of the package, the rest is a stand-in.
"""
import runpy
import sys
import types

from torchtitan.config.configs import ParallelismConfig, TrainingConfig

apply = runpy.run_path(sys.argv[1])["apply"]
config = types.SimpleNamespace(parallelism=ParallelismConfig(), training=TrainingConfig(), activation_checkpoint=types.SimpleNamespace(mode="full"))
apply(config)
assert config.parallelism.expert_parallel_degree == 8 and config.parallelism.data_parallel_shard_degree == 8
assert config.parallelism.tensor_parallel_degree == config.parallelism.pipeline_parallel_degree == 1
assert config.training.global_batch_size == 32 and config.training.local_batch_size == 1 and config.training.seq_len == 1024
try:
    config.parallelism.expert_parallel_size = 8
except AttributeError:
    print("ParallelismConfig and TrainingConfig take every field; one that they lack raises")
else:
    sys.exit("a field that there is not was taken")
