"""What the vendors state, and which rows of the corpus belong to which GPU. All peaks are dense."""

# peak: TFLOP/s by number format. tf32/fp32: tensor and CUDA cores. memory_mib: total memory as nvidia-smi prints it.
_H100_PEAK = {"fp32": 66.9, "tf32": 494.7, "fp16": 989.4, "bf16": 989.4, "fp8_tensor": 1978.9, "fp8_block": 1978.9}
_B200_PEAK = {"fp32": 75.0, "tf32": 1125.0, "fp16": 2250.0, "bf16": 2250.0, "fp8_tensor": 4500.0,
              "fp8_block": 4500.0, "mxfp8": 4500.0, "nvfp4": 9000.0}
_GB200_PEAK = {"fp32": 80.0, "tf32": 1250.0, "fp16": 2500.0, "bf16": 2500.0, "fp8_tensor": 5000.0,
               "fp8_block": 5000.0, "mxfp8": 5000.0, "nvfp4": 10000.0}

DEVICES = {
    "a100-sxm": dict(
        system="a100_sxm", gpu="NVIDIA A100-SXM4-80GB", sm=108, clock_mhz=1410, hbm_tb_s=2.039, memory_mib=81920,
        power_w=400, nvlink_gb_s=300.0, nccl="A100-SXM4",
        peak={"fp32": 19.5, "tf32": 156.0, "fp16": 312.0, "bf16": 312.0},
        source="NVIDIA A100 datasheet (2021), A100-SXM4-80GB"),
    "h100-sxm": dict(
        system="h100_sxm", gpu="NVIDIA H100 80GB HBM3", sm=132, clock_mhz=1830, hbm_tb_s=3.35, memory_mib=81559,
        power_w=700, nvlink_gb_s=450.0, nccl="H100-SXM", peak=_H100_PEAK,
        source="NVIDIA H100 Tensor Core GPU datasheet and architecture white paper (2022), SXM5"),
    "h200-sxm": dict(
        system="h200_sxm", gpu="NVIDIA H200", sm=132, clock_mhz=1830, hbm_tb_s=4.8, memory_mib=143771,
        power_w=700, nvlink_gb_s=450.0, nccl="", peak=_H100_PEAK,
        source="NVIDIA H200 Tensor Core GPU datasheet (2023), SXM"),
    "b200-sxm": dict(
        system="b200_sxm", gpu="NVIDIA B200", sm=148, clock_mhz=1965, hbm_tb_s=8.0, memory_mib=183359,
        power_w=1000, nvlink_gb_s=900.0, nccl="", peak=_B200_PEAK,
        source="NVIDIA DGX B200 datasheet (2024), per GPU; SM count and clock as nvidia-smi reports them"),
    "b300-sxm": dict(
        system="b300_sxm", gpu="NVIDIA B300 SXM6 AC", sm=148, clock_mhz=1965, hbm_tb_s=8.0, memory_mib=275040,
        power_w=1100, nvlink_gb_s=900.0, nccl="",
        peak=dict(_B200_PEAK, nvfp4=13500.0),
        source="NVIDIA DGX B300 datasheet (2025), per GPU; SM count and clock assumed as for B200"),
    "gb200": dict(
        system="gb200", gpu="NVIDIA GB200", sm=152, clock_mhz=2062, hbm_tb_s=8.0, memory_mib=189471,
        power_w=1200, nvlink_gb_s=900.0, nccl="", peak=_GB200_PEAK,
        source="NVIDIA GB200 NVL72 datasheet (2024), per GPU; SM count and clock as nvidia-smi reports them"),
    "gb300": dict(
        system="gb300", gpu="NVIDIA GB300", sm=152, clock_mhz=2062, hbm_tb_s=8.0, memory_mib=284208,
        power_w=1400, nvlink_gb_s=900.0, nccl="", peak=dict(_GB200_PEAK, nvfp4=15000.0),
        source="NVIDIA GB300 NVL72 datasheet (2025), per GPU; SM count and clock assumed as for GB200"),
    "l40s": dict(
        system="l40s", gpu="NVIDIA L40S", sm=142, clock_mhz=2520, hbm_tb_s=0.864, memory_mib=46068,
        power_w=350, nvlink_gb_s=0.0, nccl="",
        peak={"fp32": 91.6, "tf32": 183.0, "fp16": 362.0, "bf16": 362.0, "fp8_tensor": 733.0, "fp8_block": 733.0},
        source="NVIDIA L40S datasheet (2023)"),
    "v100-sxm": dict(
        system="", gpu="NVIDIA V100-SXM2-32GB", sm=80, clock_mhz=1530, hbm_tb_s=0.9, memory_mib=32510,
        power_w=300, nvlink_gb_s=150.0, nccl="",
        # No bf16 tensor cores: a bf16 recipe is priced as fp16, and says assumed.
        peak={"fp32": 15.7, "fp16": 125.0, "bf16": 125.0},
        source="NVIDIA V100 datasheet (2018), SXM2 32 GB; bf16 is priced as fp16 (the GPU has no bf16 tensor cores)"),
}

# Column dtype of kernels/gemm.csv and grouped_gemm.csv -> our number format.
FORMAT_OF_DTYPE = {"bfloat16": "bf16", "fp8": "fp8_tensor", "fp8_block": "fp8_block", "nvfp4": "nvfp4"}

VALUE_BYTES = {"fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8_tensor": 1.0, "fp8_block": 1.0,
               "mxfp8": 1.0, "nvfp4": 0.5}
SCALE_BYTES = {"fp8_block": 4.0 / 128.0, "mxfp8": 1.0 / 32.0, "nvfp4": 1.0 / 16.0}


def element_bytes(fmt):
    return VALUE_BYTES[fmt] + SCALE_BYTES.get(fmt, 0.0)


# CPU time of one launch from an eager framework, and of a device-to-host copy of a few bytes with its wait:
# no table of the corpus isolates them.
LAUNCH_OVERHEAD_US = 5.0
HOST_SYNC_US = 20.0
