GPUS=8
torchrun --nnodes 4 --nproc-per-node $GPUS pretrain_gpt.py \
  --tensor-model-parallel-size 2 --pipeline-model-parallel-size 4 \
  --expert-model-parallel-size 8 --expert-tensor-parallel-size 1 --sequence-parallel \
  --num-layers 16 --hidden-size 1024 --num-attention-heads 16 --num-experts 32 --moe-router-topk 4 \
  --micro-batch-size 1 --global-batch-size 256 --seq-length 4096 --use-distributed-optimizer \
  --recompute-granularity selective --recompute-modules core_attn moe_act --bf16
