#include "planner/search/point.h"

namespace moeplan::planner {

namespace {

bool same_degrees(const sim::ParallelLayout& a, const sim::ParallelLayout& b) {
  return a.tp == b.tp && a.pp == b.pp && a.ep == b.ep && a.cp == b.cp && a.etp == b.etp;
}

}  // namespace

bool same_family(const Candidate& a, const Candidate& b) {
  return same_degrees(a.layout, b.layout) && a.micro_batch == b.micro_batch && a.recompute == b.recompute &&
         a.chunk_degree == b.chunk_degree && a.sharding == b.sharding;
}

bool same_family(const sim::PlanSpec& a, const sim::PlanSpec& b) {
  return same_degrees(a.layout, b.layout) && a.micro_batch == b.micro_batch && a.recompute == b.recompute &&
         a.chunk_degree == b.chunk_degree && a.data_parallel() == b.data_parallel() &&
         a.shard_group == b.shard_group;
}

}  // namespace moeplan::planner
