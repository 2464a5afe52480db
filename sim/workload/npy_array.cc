#include "sim/workload/npy_array.h"

#include <bit>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "base/check.h"
#include "base/diagnostics.h"
#include "base/quantity_text.h"

namespace moeplan::sim {

namespace {

constexpr std::size_t kMaxDimensions = 8;
constexpr std::size_t kMaxHeader = 1 << 16;

[[noreturn]] void refuse(const std::string& file, const std::string& message, const std::string& hint = "") {
  throw base::InputError({base::Diagnostic{file, {}, "load", message, hint}});
}

/// What follows 'key': in the header's dictionary, without leading blanks.
std::string_view value_of(std::string_view header, std::string_view key, const std::string& file) {
  for (const char quote : {'\'', '"'}) {
    const std::string quoted = fmt::format("{}{}{}", quote, key, quote);
    const std::size_t at = header.find(quoted);
    if (at == std::string_view::npos) continue;
    std::string_view rest = header.substr(at + quoted.size());
    const std::size_t start = rest.find_first_not_of(" :");
    if (start != std::string_view::npos) return rest.substr(start);
  }
  refuse(file, fmt::format("the .npy header has no \"{}\"", key));
}

void read_type(std::string_view text, NpyArray& array, const std::string& file) {
  const std::size_t close = text.size() > 1 ? text.find(text[0], 1) : std::string_view::npos;
  const std::string_view word =
      close != std::string_view::npos ? text.substr(1, close - 1) : std::string_view();
  const bool known = word.size() == 3 && std::string_view("<>|=").find(word[0]) != std::string_view::npos &&
                     std::string_view("iuf").find(word[1]) != std::string_view::npos &&
                     std::string_view("1248").find(word[2]) != std::string_view::npos &&
                     !(word[1] == 'f' && word[2] < '4');
  if (!known)
    refuse(file,
           fmt::format("found items of type \"{}\", expected whole numbers (i1 to i8, u1 to u8) or f4, f8",
                       word.substr(0, 40)));
  array.big_endian = word[0] == '>';
  array.kind = word[1];
  array.item_size = static_cast<std::size_t>(word[2] - '0');
}

void read_shape(std::string_view text, NpyArray& array, const std::string& file) {
  const std::size_t close = text.find(')');
  if (text.empty() || text[0] != '(' || close == std::string_view::npos)
    refuse(file, "the .npy header has a broken shape");
  std::string_view inside = text.substr(1, close - 1);
  while (!inside.empty()) {
    const std::size_t comma = std::min(inside.find(','), inside.size());
    std::string_view word = inside.substr(0, comma);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    inside.remove_prefix(std::min(comma + 1, inside.size()));
    if (word.empty()) continue;
    const auto size = base::parse_integer(word);
    if (!size || *size < 0 || array.shape.size() >= kMaxDimensions)
      refuse(file, "the .npy header has a broken shape");
    array.shape.push_back(*size);
  }
}

template <class T>
double load_item(const char* bytes, bool swap) {
  unsigned char raw[sizeof(T)];
  std::memcpy(raw, bytes, sizeof(T));
  if (swap) {
    for (std::size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(raw[i], raw[sizeof(T) - 1 - i]);
  }
  T value;
  std::memcpy(&value, raw, sizeof(T));
  return static_cast<double>(value);
}

}  // namespace

double NpyArray::at(std::size_t index) const {
  static_assert(std::endian::native == std::endian::little);
  const char* bytes = data.data() + index * item_size;
  if (kind == 'f')
    return item_size == 4 ? load_item<float>(bytes, big_endian) : load_item<double>(bytes, big_endian);
  const bool is_signed = kind == 'i';
  switch (item_size) {
    case 1:
      return is_signed ? load_item<std::int8_t>(bytes, false) : load_item<std::uint8_t>(bytes, false);
    case 2:
      return is_signed ? load_item<std::int16_t>(bytes, big_endian)
                       : load_item<std::uint16_t>(bytes, big_endian);
    case 4:
      return is_signed ? load_item<std::int32_t>(bytes, big_endian)
                       : load_item<std::uint32_t>(bytes, big_endian);
    default:
      return is_signed ? load_item<std::int64_t>(bytes, big_endian)
                       : load_item<std::uint64_t>(bytes, big_endian);
  }
}

NpyArray parse_npy(std::string_view text, const std::string& file) {
  constexpr std::string_view kMagic("\x93NUMPY", 6);
  if (text.size() < 10 || text.substr(0, 6) != kMagic) refuse(file, "found no .npy header");
  const int version = static_cast<unsigned char>(text[6]);
  if (version < 1 || version > 3)
    refuse(file, fmt::format("found .npy version {}, expected 1 to 3", version));
  const std::size_t length_size = version == 1 ? 2 : 4;
  const std::size_t start = 8 + length_size;
  std::size_t length = 0;
  for (std::size_t i = length_size; i-- > 0;)
    length = length << 8 | (8 + i < text.size() ? static_cast<unsigned char>(text[8 + i]) : 0U);
  if (length > kMaxHeader || start + length > text.size()) refuse(file, "the .npy header is cut short");
  const std::string_view header = text.substr(start, length);

  NpyArray array;
  read_type(value_of(header, "descr", file), array, file);
  if (value_of(header, "fortran_order", file).substr(0, 5) != "False")
    refuse(file, "found an array in Fortran order, expected C order", "save numpy.ascontiguousarray(array)");
  read_shape(value_of(header, "shape", file), array, file);
  array.data = text.substr(start + length);
  std::size_t wanted = array.item_size;
  for (const std::int64_t size : array.shape) {
    // One past what is there is enough to refuse; this keeps the product from overflowing.
    if (size > 0 && wanted > array.data.size() / static_cast<std::size_t>(size))
      wanted = array.data.size() + 1;
    else
      wanted *= static_cast<std::size_t>(size);
  }
  if (wanted != array.data.size())
    refuse(file, fmt::format("the shape of the array does not fit its {} bytes", array.data.size()));
  return array;
}

}  // namespace moeplan::sim
