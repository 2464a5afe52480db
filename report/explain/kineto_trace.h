#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/text_stream.h"

namespace moeplan::report {

/// A group of ranks as the profiler names it.
struct ProcessGroup {
  std::string name, description;
  std::vector<int> ranks;  ///< empty: not written
  int size = 0;            ///< 0: not written
};

/// What the profiler says of one call of a collective.
struct CollectiveCall {
  std::string name;              ///< "all_to_allv", "_allgather_base"
  int group = -1;                ///< index into KinetoTrace::groups
  std::int64_t in = 0, out = 0;  ///< elements
};

/// Work of a GPU. Times of a trace are whole nanoseconds since its first event.
struct GpuOperation {
  enum class Kind : std::uint8_t { kKernel, kCopyOnDevice, kCopyToHost, kCopyFromHost, kSet };
  std::int64_t start = 0, duration = 0;
  std::int64_t launched = -1;    ///< when the host launched it; -1: not told
  std::int32_t thread = -1;      ///< that did so
  std::uint32_t name = 0;        ///< index into KinetoTrace::names
  std::int32_t collective = -1;  ///< index into KinetoTrace::calls
  std::int32_t stream = 0;
  Kind kind = Kind::kKernel;
  std::int64_t end() const { return start + duration; }
};

/// An operator, annotation or module on a thread of the host.
struct HostRange {
  std::int64_t start = 0, end = 0;
  std::int32_t thread = -1;
  std::uint32_t name = 0;
};

/// ProfilerStep#N.
struct ProfilerStep {
  std::int64_t number = 0;
  std::int64_t start = 0, end = 0;
};

/// A PyTorch profiler trace, as far as it tells what a GPU did and who launched it.
struct KinetoTrace {
  std::string file;
  int rank = -1, world = -1;  ///< distributedInfo; -1: not written
  std::string device;         ///< name of the GPU; may be empty
  std::vector<std::string> names;
  std::vector<ProcessGroup> groups;
  std::vector<CollectiveCall> calls;
  std::vector<GpuOperation> operations;  ///< of the device with most of them, by start
  std::vector<HostRange>
      ranges;  ///< those that tell a class, a part of the step or a layer, by thread and start
  std::vector<ProfilerStep> steps;  ///< by number
  bool has_operators = false;       ///< cpu_op events: forward and backward can be told apart
  std::int64_t other_devices = 0;   ///< operations left out
};

/// Which ranges are kept: those that is_telling_launcher() knows, autograd's backward, and names with a
/// layer's number.
///
/// Reads .json and .json.gz. Throws InputError where the text is cut short or no such trace, an event has no
/// place in time, or no GPU work is in it. Cost: one pass; some 200 bytes of memory for each GPU operation,
/// launch and kept range, whatever the size of the file.
KinetoTrace read_kineto_trace(const std::string& path);
KinetoTrace read_kineto_trace(base::TextStream& stream);

/// "autograd::engine::evaluate_function: MmBackward0" and autograd functions of Python ("...Backward").
bool is_backward_range(const std::string& name);
/// The number behind "layer", "layers." or "TransformerLayer_" in a name; -1: none.
int layer_in(const std::string& name);

}  // namespace moeplan::report
