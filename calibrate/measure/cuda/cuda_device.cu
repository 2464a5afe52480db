#include "calibrate/measure/cuda/cuda_device.h"

#include "calibrate/measure/cuda/gemm.h"
#include "calibrate/measure/cuda/nvml.h"
#include "calibrate/measure/cuda/workloads.h"

namespace moeplan::calibrate {

namespace {

std::string pci_bus_id() {
  char text[32] = "";
  MOEPLAN_CUDA(cudaDeviceGetPCIBusId(text, sizeof text, 0));
  return text;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

class CudaDevice : public Device {
 public:
  CudaDevice() : nvml_(pci_bus_id()) {}

  std::vector<std::pair<std::string, std::string>> facts() override {
    const cudaDeviceProp& p = context_.properties();
    int runtime = 0, driver = 0;
    MOEPLAN_CUDA(cudaRuntimeGetVersion(&runtime));
    MOEPLAN_CUDA(cudaDriverGetVersion(&driver));
    std::vector<std::pair<std::string, std::string>> facts{
        {"gpu_name", p.name},
        {"compute_capability", std::to_string(p.major) + "." + std::to_string(p.minor)},
        {"sms", std::to_string(p.multiProcessorCount)},
        {"memory_bytes", std::to_string(p.totalGlobalMem)},
        {"l2_bytes", std::to_string(p.l2CacheSize)},
        {"cuda_runtime", version_text(runtime)},
        {"cuda_driver", version_text(driver)},
        {"cublas", lt_version()}};
    for (auto& fact : nvml_.facts()) facts.push_back(std::move(fact));
    const DeviceState state = nvml_.state();
    if (state.max_sm_mhz) facts.emplace_back("max_sm_mhz", std::to_string(static_cast<int>(*state.max_sm_mhz)));
    return facts;
  }

  DeviceState state() override { return nvml_.state(); }

  std::unique_ptr<Workload> prepare(const Case& what) override {
    return make_workload(context_, what);
  }

 private:
  Context context_;
  Nvml nvml_;
};

}  // namespace

std::unique_ptr<Workload> make_workload(Context& context, const Case& what) {
  const std::string& kind = what.kind();
  if (kind == "gemm") return make_gemm(context, what);
  if (kind == "grouped_product") return make_grouped(context, what);
  if (kind == "memory") return make_memory(context, what);
  if (kind == "copy") return make_copy(context, what);
  if (kind == "launch") return make_launch(context, what);
  if (kind == "interference") return make_interference(context, what);
  const GemmProblem problem{gemm_format(what.word("format"), "forward"), GemmPass::kForward, what.number("m"),
                            what.number("n"), what.number("k")};
  return make_plain_gemm(context, problem, false);
}

std::unique_ptr<Device> make_cuda_device() {
  require_gpu();
  return std::make_unique<CudaDevice>();
}

}  // namespace moeplan::calibrate
