#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moeplan::sim {

/// One file in a zip archive, as the central directory states it. Sizes are claims until they are read.
struct ZipEntry {
  std::string name;
  unsigned method = 0;  ///< 0 = stored, 8 = deflate
  std::uint32_t crc = 0;
  std::uint64_t compressed = 0;
  std::uint64_t size = 0;
  std::uint64_t header_offset = 0;
};

/// The entries of an archive in memory. Throws InputError where the directory is broken. No zip64 archives of
/// more than 4 GiB, no encryption, no archives in parts.
std::vector<ZipEntry> list_zip(std::string_view archive, const std::string& file);

/// The content of an entry, at most `limit` bytes; its checksum is verified. Memory grows with what is really
/// there, not with what the header claims. Throws InputError.
std::string read_zip_entry(std::string_view archive, const ZipEntry& entry, std::size_t limit,
                           const std::string& file);

}  // namespace moeplan::sim
