#pragma once

#include <functional>
#include <memory>

#include "cli/command.h"

namespace CLI {
class App;
}

namespace moeplan::cli {

/// The verbs under `calibrate`: their flags, and what each of them runs.
class CalibrateVerbs {
 public:
  /// `verb` is set by the parser to what was asked for; both outlive this.
  CalibrateVerbs(std::function<int()>& verb, Console& console);
  ~CalibrateVerbs();
  void declare(CLI::App& app);

 private:
  class Flags;
  std::unique_ptr<Flags> flags_;
};

}  // namespace moeplan::cli
