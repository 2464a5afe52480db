#pragma once

#include <string>

#include "cli/command.h"

namespace moeplan::cli {

struct SweepOptions {
  CommonOptions common;  ///< output: the folder of results; empty: the sweep file's name with .sweep
  std::string file;      ///< docs/formats/sweep.md
  bool resume = false;
  bool only_export = false;  ///< write the tables of what is finished, compute nothing
  bool list = false;         ///< print the points, compute nothing
  bool progress = false;     ///< where stderr is no terminal, too
  std::string part;          ///< "I/N"; empty: of a Slurm array, else all
};

/// `moeplan sweep`: the points of a grid, each simulated or planned, into DIR/shards (SQLite), and when all
/// are there into DIR/points.csv, points.json, points.sqlite, report.html, and plans/ of verb plan.
///
/// SIGINT and SIGTERM end it after the points at work: exit 130, the tables hold what is finished. Exit 1
/// where no point has a plan that fits.
int run_sweep(const SweepOptions& options, Console console);

}  // namespace moeplan::cli
