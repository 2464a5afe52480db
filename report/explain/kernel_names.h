#pragma once

#include <span>
#include <string>
#include <string_view>

#include "report/explain/operation_class.h"

namespace moeplan::report {

/// What the name of a GPU kernel says.
struct KernelKind {
  OperationClass operation = OperationClass::kUnmatched;
  bool auxiliary = false;  ///< belongs to a call of another kernel of its class: no call of its own
};

/// One row of the table: a kernel whose name holds the words of `pattern`, which `*` separates, in this order
/// and in whatever case, is of the class. The first row that matches decides.
struct KernelRule {
  std::string_view pattern;
  OperationClass operation;
  bool auxiliary = false;
};

/// The same for the operator (cpu_op), annotation or module that launched it: a row changes kernels of class
/// `from` alone.
struct LauncherRule {
  std::string_view pattern;
  OperationClass from;
  OperationClass operation;
};

/// The tables, with the library behind each group of rows, are in kernel_names.cc.
std::span<const KernelRule> kernel_rules();
std::span<const LauncherRule> launcher_rules();

/// Does `name` hold the words of `pattern` in order? Both in lower case.
bool holds_words(std::string_view name, std::string_view pattern);
std::string lower_case(std::string_view text);

/// By its name alone. Collectives of NCCL are kOtherCollective: their group decides (collective_groups.h).
KernelKind classify_kernel(std::string_view name);

/// Can the launcher change the class of a kernel?
bool is_telling_launcher(std::string_view name);
/// The class of a kernel of class `operation` under this launcher.
OperationClass refine(OperationClass operation, std::string_view launcher);

}  // namespace moeplan::report
