#include "include/moeplan.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <new>

#include "base/version_number.h"
#include "planner/library/c_planner.h"

struct moeplan_planner {
  moeplan::planner::CPlanner planner;
};

namespace {

/// Writes a message without allocating more than it has to.
void assign(std::string& message, const char* text) noexcept {
  try {
    message = text;
  } catch (const std::bad_alloc&) {
    message.clear();
  }
}

/// Runs a call; no exception leaves the library.
template <class Work>
moeplan_status guard(std::string& message, Work work) noexcept {
  try {
    message.clear();
    message = work();
    return message.empty() ? MOEPLAN_OK : MOEPLAN_BAD_ARGUMENT;
  } catch (const std::bad_alloc&) {
    assign(message, "out of memory");
    return MOEPLAN_NO_MEMORY;
  } catch (const std::exception& error) {
    assign(message, error.what());
    return MOEPLAN_BUG;
  } catch (...) {
    assign(message, "unknown exception");
    return MOEPLAN_BUG;
  }
}

void copy_message(const std::string& from, char* to, size_t size) {
  if (to == nullptr || size == 0) return;
  const size_t length = std::min(size - 1, from.size());
  std::memcpy(to, from.data(), length);
  to[length] = '\0';
}

}  // namespace

void moeplan_options_init(moeplan_options* options) {
  if (options != nullptr) *options = {MOEPLAN_API_VERSION, 1, 0, 0, 0, 1, 0.0, MOEPLAN_SOLVER_SEARCH};
}

moeplan_status moeplan_create(const moeplan_options* options, moeplan_planner** planner, char* message,
                              size_t message_size) {
  std::string why;
  if (planner != nullptr) *planner = nullptr;
  const moeplan_status status = guard(why, [&]() -> std::string {
    if (options == nullptr || planner == nullptr) return "options and planner: found NULL";
    std::string fault = moeplan::planner::CPlanner::find_fault(*options);
    if (fault.empty()) *planner = new moeplan_planner{moeplan::planner::CPlanner(*options)};
    return fault;
  });
  copy_message(why, message, message_size);
  return status;
}

moeplan_status moeplan_plan(moeplan_planner* planner, const double* loads, int32_t* slots, int32_t* changed) {
  if (planner == nullptr) return MOEPLAN_BAD_ARGUMENT;
  moeplan::planner::CPlanner& p = planner->planner;
  return guard(p.message, [&]() -> std::string {
    if (loads == nullptr || slots == nullptr) return "loads and slots: found NULL";
    std::string fault = p.find_load_fault(loads);
    if (!fault.empty()) return fault;
    const int count = p.plan(loads);
    std::copy(p.placement().begin(), p.placement().end(), slots);
    if (changed != nullptr) *changed = count;
    return fault;
  });
}

moeplan_status moeplan_set_placement(moeplan_planner* planner, const int32_t* slots) {
  if (planner == nullptr) return MOEPLAN_BAD_ARGUMENT;
  return guard(planner->planner.message, [&]() -> std::string {
    return slots == nullptr ? "slots: found NULL" : planner->planner.set_placement(slots);
  });
}

moeplan_status moeplan_imbalance(moeplan_planner* planner, const double* loads, double* max_over_mean) {
  if (planner == nullptr) return MOEPLAN_BAD_ARGUMENT;
  return guard(planner->planner.message, [&]() -> std::string {
    if (loads == nullptr || max_over_mean == nullptr) return "loads and max_over_mean: found NULL";
    std::string fault = planner->planner.find_load_fault(loads);
    if (fault.empty()) *max_over_mean = planner->planner.imbalance(loads);
    return fault;
  });
}

const char* moeplan_message(const moeplan_planner* planner) {
  return planner == nullptr ? "planner: found NULL" : planner->planner.message.c_str();
}

const char* moeplan_version(void) { return MOEPLAN_VERSION; }

void moeplan_destroy(moeplan_planner* planner) { delete planner; }
