export FMOE_FASTER_SCHEDULE_ENABLE=1
export FMOE_FASTER_GROUP_SIZE=4
FASTMOE_ARGS=(
  --fmoefy
  --num-experts 1
  --expert-ep-size 8
 --micro-batch-size 1
)
