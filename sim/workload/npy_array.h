#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moeplan::sim {

/// An array in NumPy's .npy form: header read and checked against the bytes that follow it.
struct NpyArray {
  char kind = 'f';            ///< 'i', 'u' or 'f'
  std::size_t item_size = 0;  ///< bytes: 1, 2, 4, 8
  bool big_endian = false;
  std::vector<std::int64_t> shape;
  std::string_view data;  ///< of the text that was parsed, C order
  std::size_t count() const { return item_size > 0 ? data.size() / item_size : 0; }
  double at(std::size_t index) const;
};

/// Throws InputError: not an .npy text, Fortran order, a type other than whole or floating-point numbers, a
/// shape that does not fit the data. `text` has to outlive the array.
NpyArray parse_npy(std::string_view text, const std::string& file);

}  // namespace moeplan::sim
