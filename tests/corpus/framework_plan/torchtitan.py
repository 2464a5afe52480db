config.parallelism.data_parallel_shard_degree = 16
config.parallelism.expert_parallel_degree = 8
config.parallelism.module_fqns_per_model_part = [["tok_embeddings", "layers.0"], ["norm"]]
config.activation_checkpoint.mode = "full"
