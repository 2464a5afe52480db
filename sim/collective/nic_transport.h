#pragma once

#include "base/units.h"
#include "topology/cluster_spec.h"

namespace moeplan::sim {

/// What a network transport brings to NCCL beside its line rate, as its maker publishes it. No value here is
/// fitted.
struct NicTransportFacts {
  base::Seconds latency;                                ///< least time of a hop between nodes
  base::Seconds simple_overhead;                        ///< that Simple adds to it
  base::Bytes buffer = base::Bytes::from_mib(4);        ///< of a channel: NCCL_BUFFSIZE
  base::Bytes nvls_chunk = base::Bytes::from_kib(128);  ///< NCCL_NVLS_CHUNKSIZE
  bool sets_nvls_tree_chunk = false;                    ///< NVLSTree keeps it over many nodes
  bool simple_only = false;                             ///< NCCL_PROTO=Simple
  bool reduces_in_nvlink = true;                        ///< NVLS and NVLSTree are left switched on
};

/// rdma:  InfiniBand and RoCE verbs, NCCL's own defaults (NCCL 2.28 src/init.cc: 4 MiB;
/// src/transport/nvls.cc) efa:   AWS: 20 us a hop and 3 us of completion overhead (aws-ofi-nccl
/// src/tuner/nccl_ofi_model.cpp; 18 us
///        on P5en), 8 MiB and 512 KiB (src/platform-aws.cpp, p4d to p6)
/// tcpxo: Google's GPUDirect-TCPXO on A3 Mega: NCCL_BUFFSIZE=8388608, NCCL_PROTO=Simple, NCCL_NVLS_ENABLE=0
/// (the environment
///        that its plug-in's guest checker asks for, nccl-env-profile.sh); no latency is published: as rdma
NicTransportFacts facts_of(topology::NicTransport transport);

}  // namespace moeplan::sim
