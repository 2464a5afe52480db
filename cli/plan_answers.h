#pragma once

#include <string>
#include <vector>

#include "base/json_writer.h"
#include "cli/job_files.h"
#include "planner/search/search.h"
#include "planner/search/training_time.h"

namespace moeplan::cli {

/// What `plan` is asked beside the best plan.
struct PlanQuestions {
  std::string tokens;      ///< "15T": how long it takes to train on so many; empty: not asked
  std::string gpu_mtbf;    ///< "50700 h"; empty: the default of planner::Reliability
  std::string checkpoint;  ///< "60 s"
  std::string restart;     ///< "10 min"
  std::vector<int> gpus;   ///< further sizes of the cluster to plan for
};

/// The best plan on another number of GPUs of the same kind.
struct OtherSize {
  int gpus = 0;
  planner::SearchResult search;
};

/// How the plans that are shown do where routing is more uneven than an even load says.
struct SkewRow {
  std::string load;
  std::vector<base::Seconds> step_times;  ///< [plan shown]
};

struct PlanAnswers {
  std::vector<OtherSize> sizes;
  std::vector<SkewRow> skews;
  std::optional<planner::TrainingTime> training;  ///< of rank 1
  double tokens = 0;
};

/// Throws InputError: an amount that is none, sizes that the cluster's nodes do not make.
void check_questions(const PlanQuestions& questions, const topology::Cluster& cluster);

/// Requires: check_questions().
PlanAnswers answer_questions(const PlanQuestions& questions, const JobFiles& files, const JobOptions& job,
                             const planner::SearchOptions& options, const planner::SearchResult& search,
                             std::uint64_t seed);

std::string write_answers_text(const PlanAnswers& answers, const planner::SearchResult& search);
void write_answers_json(const PlanAnswers& answers, const planner::SearchResult& search,
                        base::JsonWriter& json);

}  // namespace moeplan::cli
