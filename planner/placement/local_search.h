#pragma once

#include <cstdint>
#include <vector>

#include "planner/placement/problem.h"

namespace moeplan::planner {

/// A placement of one layer under change, with what each GPU carries in each iteration.
///
/// Objective: F = mean over iterations t of max over GPUs g of L[g][t]. For every t the GPUs are kept in
/// order of
///            load, so that the busiest of those that a move leaves alone is found at the head of the list.
/// Moves:     swap       two slots of different GPUs trade experts; valued in O(iterations)
///            replace    a slot gives its replica up for one of another expert; the replicas of both then
///            carry
///                       load / (c - 1) and load / (c + 1); valued in O(iterations * replicas of the two)
/// Neither makes two replicas of an expert share a GPU.
class PlacementSearch {
 public:
  /// Requires: no GPU holds an expert twice.
  PlacementSearch(const LayerProblem& layer, const Slots& slots);

  double objective() const { return objective_; }
  Slots slots() const;

  /// Takes the best move of the busiest GPUs until none helps, or `moves` were made. Replacements are tried
  /// where no swap helps and `replace` is set. Stops at `target`.
  void descend(int moves, bool replace, double target);
  /// Makes `count` moves by chance, for another start.
  void shake(int count, std::uint64_t& state);

 private:
  struct Swap {
    std::size_t a = 0, b = 0;  // slots
    double objective = 0;
  };
  struct Replacement {
    std::size_t slot = 0;
    std::int32_t expert = -1;
    double objective = 0;
  };

  std::size_t gpu_of(std::size_t slot) const { return slot / per_gpu_; }
  std::size_t at(std::size_t gpu, std::size_t iteration) const { return gpu * iterations_ + iteration; }
  bool holds(std::size_t gpu, std::size_t expert) const { return held_[gpu * experts_ + expert] != 0; }
  std::uint32_t busiest(std::size_t iteration, std::size_t rank) const {
    return order_[iteration * gpus_ + rank];
  }
  void move_holder(std::size_t expert, std::size_t from, std::size_t to);
  void refresh();
  std::vector<std::size_t> busiest_gpus() const;
  /// Best swap of a slot of `gpu`; objective stays that of now where none helps.
  Swap find_swap(std::size_t gpu) const;
  Replacement find_replacement(std::size_t gpu) const;
  double objective_after(std::size_t slot, std::size_t expert) const;
  void apply(const Swap& swap);
  void apply(std::size_t slot, std::size_t expert);

  std::size_t experts_, gpus_, per_gpu_, iterations_;
  std::vector<double> load_;                         // [expert][iteration]
  std::vector<std::int32_t> slot_;                   // [slot] -> expert
  std::vector<int> count_;                           // [expert]
  std::vector<std::uint8_t> held_;                   // [gpu][expert]
  std::vector<double> gpu_load_;                     // [gpu][iteration]
  std::vector<std::uint32_t> order_;                 // [iteration][rank by load, busiest first] -> gpu
  std::vector<std::vector<std::uint32_t>> holders_;  // [expert] -> GPUs
  double objective_ = 0;
};

}  // namespace moeplan::planner
