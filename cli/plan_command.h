#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "cli/job_files.h"
#include "cli/plan_answers.h"

namespace moeplan::cli {

struct PlanOptions {
  CommonOptions common;              ///< output: a folder for plan-K.yaml, report.html, trace-1.json, megatron-1.*
  JobOptions job;
  std::string framework = "megatron";  ///< or "any"
  std::string from;                  ///< a plan file: rank changes to it instead of searching from nothing
  int top = 5;
  std::string experiment;            ///< folder for runs that tell the best plans apart; empty: none
  bool exhaustive = false;           ///< no budget: every point that fits and that no bound rules out
  std::string budget;                ///< "2000" simulations or "5s"; empty = the default
  std::string space;                 ///< a space file: axes pinned, bounded or opened
  std::vector<std::string> open;     ///< "cp,overlap"; may repeat
  PlanQuestions questions;
  std::vector<std::string> pins;     ///< "tp=2,ep=8"; may repeat
};

/// `moeplan plan`: the plans with the shortest step. Exit 1 where none fits. JSON: docs/schema/plan.json
int run_plan(const PlanOptions& options, Console console);

}  // namespace moeplan::cli
