#pragma once

/*
 * libmoeplan: places experts and their replicas on the ranks of an expert-parallel group. For training loops that change
 * the placement every so many iterations. C99; docs/library.md.
 *
 *     moeplan_options options;
 *     moeplan_options_init(&options);
 *     options.layers = 58; options.experts = 256; options.slots = 288; options.ranks = 32;
 *     moeplan_planner* planner = NULL;
 *     char why[256];
 *     if (moeplan_create(&options, &planner, why, sizeof why) != MOEPLAN_OK) ...
 *     for (;;) {
 *       ...                                   // train; count tokens: loads[layer * experts + expert]
 *       if (moeplan_plan(planner, loads, slots, &changed) != MOEPLAN_OK) puts(moeplan_message(planner));
 *       if (changed > 0) ...                  // move experts: slots[layer * 288 + slot] = expert; rank = slot / 9
 *     }
 *     moeplan_destroy(planner);
 *
 * Threads: calls on different planners may run at the same time; calls on one planner may not.
 * Deterministic: equal options and equal calls give equal maps; no clock is read, no thread started.
 */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define MOEPLAN_API
#else
#define MOEPLAN_API __attribute__((visibility("default")))
#endif

/* Of this header: raised where a function or the meaning of an option changes. */
#define MOEPLAN_API_VERSION 1

typedef enum moeplan_status {
  MOEPLAN_OK = 0,
  MOEPLAN_BAD_ARGUMENT = 2, /* the message says which, what was found and what was expected */
  MOEPLAN_NO_MEMORY = 3,
  MOEPLAN_BUG = 70 /* a check inside the library failed; the message says which */
} moeplan_status;

typedef enum moeplan_solver {
  MOEPLAN_SOLVER_SEARCH = 0, /* `moeplan` of moeplan place; never two replicas of an expert on a rank needlessly */
  MOEPLAN_SOLVER_EPLB = 1,   /* the published EPLB, global */
  MOEPLAN_SOLVER_LPT = 2     /* longest processing time first; the quickest */
} moeplan_solver;

typedef struct moeplan_options {
  uint32_t version;  /* MOEPLAN_API_VERSION, by moeplan_options_init */
  int32_t layers;    /* of the model that have experts; default 1 */
  int32_t experts;   /* of a layer; required */
  int32_t slots;     /* of a layer, on all ranks: a multiple of ranks, at least experts; required */
  int32_t ranks;     /* of the expert-parallel group; required */
  int32_t history;   /* plan for the mean of the largest loads of so many last calls; default 1 */
  double hysteresis; /* a layer changes where its largest load falls by more than this fraction; default 0 */
  moeplan_solver solver;
} moeplan_options;

typedef struct moeplan_planner moeplan_planner;

/* Fills in the defaults. */
MOEPLAN_API void moeplan_options_init(moeplan_options* options);

/* A planner whose current placement is: slot s of every layer holds expert s mod experts. *planner is NULL where the
 * status is not MOEPLAN_OK; why then goes into message (cut to message_size bytes, always ended by 0; may be NULL). */
MOEPLAN_API moeplan_status moeplan_create(const moeplan_options* options, moeplan_planner** planner, char* message,
                                          size_t message_size);

/* Plans for loads[layers][experts], in any unit, finite and not negative, and writes the placement, now the current one,
 * into slots[layers][slots]. A layer keeps its slots where the new ones are not better by more than the hysteresis, and
 * what it can of them otherwise: ranks are named so that few experts move. *changed (may be NULL) = layers whose slots
 * differ from those before. Where the status is not MOEPLAN_OK nothing was changed, and loads count as not given.
 *
 * Memory: all that lasts is allocated by moeplan_create; a call allocates working memory, O(slots + experts * history) a
 * layer and O(ranks * ranks), and frees it before it returns. */
MOEPLAN_API moeplan_status moeplan_plan(moeplan_planner* planner, const double* loads, int32_t* slots, int32_t* changed);

/* Makes slots[layers][slots] the current placement, e.g. after a restart. */
MOEPLAN_API moeplan_status moeplan_set_placement(moeplan_planner* planner, const int32_t* slots);

/* Largest load of a rank over the mean under the current placement, mean over layers; for loads as moeplan_plan takes
 * them. A layer without load counts 1. */
MOEPLAN_API moeplan_status moeplan_imbalance(moeplan_planner* planner, const double* loads, double* max_over_mean);

/* Why the last call on this planner failed; "" where it did not. Lives until the next call on it. */
MOEPLAN_API const char* moeplan_message(const moeplan_planner* planner);

/* "0.1.0" */
MOEPLAN_API const char* moeplan_version(void);

/* NULL is fine. */
MOEPLAN_API void moeplan_destroy(moeplan_planner* planner);

#ifdef __cplusplus
}
#endif
