// moeplan-measure: measures a GPU where nothing but CUDA is installed; `moeplan calibrate gpu` without the rest.

#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>

#include "base/diagnostics.h"
#include "calibrate/measure/cuda/cuda_device.h"
#include "calibrate/measure/default_cases.h"
#include "calibrate/measure/session.h"

namespace {

using namespace moeplan;

constexpr const char* kUsage =
    "usage: moeplan-measure -o FILE.jsonl [--shapes FILE] [--cases KIND,...] [--budget SECONDS] [--precision PERCENT]\n"
    "       moeplan-measure --list [--shapes FILE] [--cases KIND,...]\n"
    "       moeplan-measure --self-check\n\n"
    "Measures the first GPU; a run that was cut off goes on where it stood with the same -o.\n"
    "  --shapes FILE        cases to measure, one a line, instead of the default list (print it with --list)\n"
    "  --cases KIND,...     only cases of these kinds: gemm, grouped_product, memory, copy, launch, interference, sustained\n"
    "  --budget SECONDS     of the whole run (default 600)\n"
    "  --precision PERCENT  half the 95 % interval of the median at which a case is done (default 0.5)\n"
    "  --self-check         compares every product and kernel with a reference on the host\n"
    "Exit: 0 done, 1 a self-check failed or a case failed, 2 bad usage, 3 no usable GPU or file, 70 a bug.\n";

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string output, shapes;
  std::set<std::string> kinds;
  double budget = 600.0, precision = 0.5;
  bool is_list = false, is_self_check = false, is_help = false;
};

double positive(const std::string& option, const std::string& text) {
  std::size_t used = 0;
  double value = 0.0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || !(value > 0.0) || value > 1e9)
    throw UsageError(option + " \"" + text + "\" is no number above 0");
  return value;
}

std::set<std::string> split_kinds(const std::string& text) {
  const std::vector<std::string> known = calibrate::case_kinds();
  std::set<std::string> kinds;
  std::stringstream list(text);
  for (std::string kind; std::getline(list, kind, ',');) {
    if (std::find(known.begin(), known.end(), kind) == known.end())
      throw UsageError("--cases: kind \"" + kind + "\" is unknown");
    kinds.insert(kind);
  }
  return kinds;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) throw UsageError(option + " lacks its value");
      return argv[++i];
    };
    if (option == "-o") {
      options.output = value();
    } else if (option == "--shapes") {
      options.shapes = value();
    } else if (option == "--cases") {
      options.kinds = split_kinds(value());
    } else if (option == "--budget") {
      options.budget = positive(option, value());
    } else if (option == "--precision") {
      options.precision = positive(option, value());
    } else if (option == "--list") {
      options.is_list = true;
    } else if (option == "--self-check") {
      options.is_self_check = true;
    } else if (option == "--help" || option == "-h") {
      options.is_help = true;
    } else {
      throw UsageError("unknown argument \"" + option + "\"");
    }
  }
  if (options.output.empty() && !options.is_list && !options.is_self_check && !options.is_help)
    throw UsageError("-o FILE.jsonl is missing");
  return options;
}

std::vector<calibrate::Case> find_cases(const Options& options) {
  std::vector<calibrate::Case> all;
  if (options.shapes.empty()) {
    all = calibrate::default_cases();
  } else {
    std::ifstream file(options.shapes);
    std::stringstream text;
    if (!file || !(text << file.rdbuf())) throw base::EnvironmentError(options.shapes + ": cannot be read, or is empty");
    all = calibrate::parse_cases(text.str(), options.shapes);
  }
  if (options.kinds.empty()) return all;
  std::vector<calibrate::Case> kept;
  for (calibrate::Case& what : all)
    if (options.kinds.count(what.kind()) > 0) kept.push_back(std::move(what));
  return kept;
}

int measure(const Options& options) {
  const std::vector<calibrate::Case> cases = find_cases(options);
  const std::unique_ptr<calibrate::Device> device = calibrate::make_cuda_device();
  calibrate::ResultFile file(options.output);
  calibrate::SystemClock clock;
  file.write_provenance(device->facts(), clock.date());
  calibrate::StopRule rule;
  rule.precision = options.precision / 100.0;
  const calibrate::SessionResult r = calibrate::run_session(
      *device, clock, cases, rule, base::Seconds::of(options.budget), file, std::cerr);
  std::cerr << r.measured << " cases measured, " << r.done_before << " were there, " << r.unsupported << " not supported, "
            << r.failed << " failed, " << r.left << " left for want of time\n";
  return r.failed > 0 ? 1 : 0;
}

int run(const Options& options) {
  if (options.is_help) {
    std::cout << kUsage;
    return 0;
  }
  if (options.is_self_check) return calibrate::self_check() ? 0 : 1;
  if (options.is_list) {
    for (const calibrate::Case& what : find_cases(options)) std::cout << what.key() << "\n";
    return 0;
  }
  return measure(options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const UsageError& error) {
    std::cerr << "error: " << error.what() << "\n\n" << kUsage;
    return 2;
  } catch (const calibrate::CaseError& error) {
    std::cerr << error.what() << "\n";
    return 2;
  } catch (const base::EnvironmentError& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 3;
  } catch (const calibrate::Unsupported& error) {
    std::cerr << "error: the GPU cannot be prepared: " << error.what() << "\n";
    return 3;
  } catch (const calibrate::DeviceLost& error) {
    std::cerr << "error: the GPU failed: " << error.what()
              << "\nwhat was measured before is kept; run again with the same -o to go on\n";
    return 3;
  } catch (const std::exception& error) {
    std::cerr << "internal error: " << error.what() << "\n";
    return 70;
  }
}
