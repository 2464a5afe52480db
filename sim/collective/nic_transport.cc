#include "sim/collective/nic_transport.h"

namespace moeplan::sim {

NicTransportFacts facts_of(topology::NicTransport transport) {
  NicTransportFacts facts;
  switch (transport) {
    case topology::NicTransport::kRdma:
      break;
    case topology::NicTransport::kEfa:
      facts.latency = base::Seconds::from_us(20);
      facts.simple_overhead = base::Seconds::from_us(3);
      facts.buffer = base::Bytes::from_mib(8);
      facts.nvls_chunk = base::Bytes::from_kib(512);
      facts.sets_nvls_tree_chunk = true;
      break;
    case topology::NicTransport::kTcpxo:
      facts.buffer = base::Bytes::from_mib(8);
      facts.simple_only = true;
      facts.reduces_in_nvlink = false;
      break;
  }
  return facts;
}

}  // namespace moeplan::sim
