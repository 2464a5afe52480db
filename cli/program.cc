// The only file that includes CLI11: it declares every verb's flags and calls the verb.
#include <exception>
#include <functional>
#include <iostream>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/files.h"
#include "cli/command.h"

namespace moeplan::cli {

namespace {

int report_and_exit(const CLI::App& app, const CLI::ParseError& error, Console console) {
  const int code = app.exit(error, console.out, console.err);
  return code == 0 ? kOk : kBadInput;
}

}  // namespace

int run_program(int argc, const char* const* argv, Console console) {
  CLI::App app{"moeplan: simulator and planner for training Mixture-of-Experts models on GPU clusters", "moeplan"};
  app.set_version_flag("--version", "moeplan " + base::version());
  app.require_subcommand(1);
  std::function<int()> verb;
  try {
    app.parse(argc, argv);
    return verb ? verb() : kOk;
  } catch (const CLI::ParseError& error) {
    return report_and_exit(app, error, console);
  } catch (const base::InputError& error) {
    console.err << error.what() << '\n';
    return kBadInput;
  } catch (const base::EnvironmentError& error) {
    console.err << "error: " << error.what() << '\n';
    return kEnvironment;
  } catch (const std::exception& error) {
    console.err << "internal error: " << error.what() << '\n';
    return kBug;
  }
}

}  // namespace moeplan::cli
