/* A training loop that asks libmoeplan for a new placement every 10 iterations: 2 layers of 16 experts in 24 slots on 8
 * ranks. Tokens come from a generator here; a real loop sums what its router counts over all ranks.
 *
 *     cc rebalance.c -lmoeplan -o rebalance && ./rebalance */
#include <moeplan.h>
#include <stdio.h>
#include <stdlib.h>

enum { kLayers = 2, kExperts = 16, kSlots = 24, kRanks = 8, kIterations = 60, kPeriod = 10 };

/* Tokens of one iteration: one hot expert a layer, which changes after half of the run. */
static void count_tokens(int iteration, double* loads) {
  for (int layer = 0; layer < kLayers; ++layer) {
    const int hot = (iteration < kIterations / 2 ? 3 : 11) + layer;
    for (int e = 0; e < kExperts; ++e) loads[layer * kExperts + e] = 100.0 + (e == hot ? 900.0 : 7.0 * ((e * 5 + iteration) % 3));
  }
}

static void must(moeplan_status status, const moeplan_planner* planner) {
  if (status == MOEPLAN_OK) return;
  fprintf(stderr, "moeplan: %s\n", moeplan_message(planner));
  exit(1);
}

int main(void) {
  moeplan_options options;
  moeplan_options_init(&options);
  options.layers = kLayers;
  options.experts = kExperts;
  options.slots = kSlots;
  options.ranks = kRanks;
  options.history = 5;
  options.hysteresis = 0.05;
  moeplan_planner* planner = NULL;
  char why[256];
  if (moeplan_create(&options, &planner, why, sizeof why) != MOEPLAN_OK) {
    fprintf(stderr, "moeplan: %s\n", why);
    return 1;
  }
  double loads[kLayers * kExperts];
  int32_t slots[kLayers * kSlots];
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    count_tokens(iteration, loads);
    if (iteration % kPeriod != kPeriod - 1) continue;
    double before = 0, after = 0;
    int32_t changed = 0;
    must(moeplan_imbalance(planner, loads, &before), planner);
    must(moeplan_plan(planner, loads, slots, &changed), planner);
    must(moeplan_imbalance(planner, loads, &after), planner);
    /* Here experts would move: rank r holds slots[layer * kSlots + r * kSlots / kRanks] and the next two. */
    printf("iteration %d: max/mean %.3f -> %.3f, %d layers changed\n", iteration, before, after, (int)changed);
  }
  moeplan_destroy(planner);
  return 0;
}
