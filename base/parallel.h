#pragma once

#include <cstddef>
#include <functional>

namespace moeplan::base {

/// Calls work(i) for i = 0 .. count-1 on up to `threads` threads (0 = as many as the machine has). Which thread
/// runs which item is not fixed: work(i) must write only what belongs to item i. Once an item throws, no further ones
/// are started; the exception of the lowest item that threw is thrown again after all threads have ended, which is
/// the same one for any number of threads.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work);

}  // namespace moeplan::base
