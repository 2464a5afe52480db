#!/usr/bin/env bash
# A Megatron-LM launch of Qwen3-235B-A22B on 256 H100 as people write it, for
#     moeplan import plan configs/examples/qwen3-235b-256-h100.sh --model qwen3-235b-a22b -o current.yaml
#     moeplan plan --from current.yaml --cluster hgx-h100-32n --model qwen3-235b-a22b --run pretrain-4k --load lognormal:0.6
# The layout (TP 2, PP 8, EP 32) follows what NVIDIA publishes for this model and machine (Megatron-MoE-ModelZoo); full
# recompute is where a careful first run starts.
set -euo pipefail
export CUDA_DEVICE_MAX_CONNECTIONS=1
TP=2
PP=8
EP=32

PARALLEL=(
    --tensor-model-parallel-size ${TP}
    --sequence-parallel
    --pipeline-model-parallel-size ${PP}
    --pipeline-model-parallel-layout 'Et*11|(t*12|)*6t*11L'
    --expert-model-parallel-size ${EP}
    --expert-tensor-parallel-size 1
    --use-distributed-optimizer
    --overlap-grad-reduce
    --overlap-param-gather
)
MODEL=(
    --num-layers 94
    --hidden-size 4096
    --num-attention-heads 64
    --group-query-attention
    --num-query-groups 4
    --num-experts 128
    --moe-router-topk 8
    --moe-ffn-hidden-size 1536
    --moe-token-dispatcher-type alltoall
    --moe-grouped-gemm
    --seq-length 4096
)
TRAIN=(
    --micro-batch-size 1
    --global-batch-size 2048
    --recompute-granularity full
    --recompute-method uniform
    --recompute-num-layers 1
    --bf16
    --lr 1.2e-4
)
torchrun --nnodes 32 --nproc-per-node 8 --node-rank "${NODE_RANK:-0}" "${MEGATRON:?}/pretrain_gpt.py" \
    "${PARALLEL[@]}" "${MODEL[@]}" "${TRAIN[@]}" "$@"
