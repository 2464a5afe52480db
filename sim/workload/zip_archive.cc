#include "sim/workload/zip_archive.h"

#include <algorithm>

#include <fmt/format.h>
#include <zlib.h>

#include "base/diagnostics.h"

namespace moeplan::sim {

namespace {

// Signatures and sizes of the records: PKWARE APPNOTE 6.3, sections 4.3.7, 4.3.12, 4.3.16.
constexpr std::uint32_t kLocalHeader = 0x04034b50;
constexpr std::uint32_t kDirectoryHeader = 0x02014b50;
constexpr std::uint32_t kEndRecord = 0x06054b50;
constexpr std::size_t kLocalHeaderSize = 30;
constexpr std::size_t kDirectoryHeaderSize = 46;
constexpr std::size_t kEndRecordSize = 22;
constexpr std::size_t kMaxComment = 65535;

[[noreturn]] void refuse(const std::string& file, const std::string& message) {
  throw base::InputError({base::Diagnostic{file, {}, "load", message, ""}});
}

/// Little-endian number of `size` bytes at `at`; the caller has checked the bounds.
std::uint64_t number(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::size_t find_end_record(std::string_view archive, const std::string& file) {
  if (archive.size() < kEndRecordSize) refuse(file, "the zip archive is cut short");
  const std::size_t last = archive.size() - kEndRecordSize;
  const std::size_t first = last > kMaxComment ? last - kMaxComment : 0;
  for (std::size_t at = last + 1; at-- > first;) {
    if (number(archive, at, 4) == kEndRecord) return at;
  }
  refuse(file, "found no zip directory: the file is cut short or no archive");
}

std::string inflate_all(std::string_view compressed, std::size_t limit, const std::string& file,
                        const std::string& entry) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) refuse(file, "zlib cannot be started");
  std::string out;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(compressed.data()));
  stream.avail_in = static_cast<uInt>(compressed.size());
  int status = Z_OK;
  while (status == Z_OK && out.size() <= limit) {
    constexpr std::size_t kStep = 1 << 20;
    const std::size_t before = out.size();
    out.resize(before + kStep);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(kStep);
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(before + kStep - stream.avail_out);
  }
  inflateEnd(&stream);
  if (out.size() > limit) refuse(file, fmt::format("\"{}\" holds more than {} bytes", entry, limit));
  if (status != Z_STREAM_END) refuse(file, fmt::format("the compressed data of \"{}\" are broken", entry));
  return out;
}

}  // namespace

std::vector<ZipEntry> list_zip(std::string_view archive, const std::string& file) {
  const std::size_t end = find_end_record(archive, file);
  const std::uint64_t count = number(archive, end + 10, 2);
  std::uint64_t at = number(archive, end + 16, 4);
  std::vector<ZipEntry> entries;
  for (std::uint64_t i = 0; i < count; ++i) {
    if (at + kDirectoryHeaderSize > end || number(archive, at, 4) != kDirectoryHeader)
      refuse(file, fmt::format("entry {} of the zip directory is broken", i));
    ZipEntry entry;
    entry.method = static_cast<unsigned>(number(archive, at + 10, 2));
    entry.crc = static_cast<std::uint32_t>(number(archive, at + 16, 4));
    entry.compressed = number(archive, at + 20, 4);
    entry.size = number(archive, at + 24, 4);
    entry.header_offset = number(archive, at + 42, 4);
    const std::size_t name_size = number(archive, at + 28, 2);
    const std::size_t rest = number(archive, at + 30, 2) + number(archive, at + 32, 2);
    if (at + kDirectoryHeaderSize + name_size + rest > end)
      refuse(file, fmt::format("entry {} of the zip directory is broken", i));
    entry.name = std::string(archive.substr(at + kDirectoryHeaderSize, name_size));
    entries.push_back(std::move(entry));
    at += kDirectoryHeaderSize + name_size + rest;
  }
  return entries;
}

std::string read_zip_entry(std::string_view archive, const ZipEntry& entry, std::size_t limit,
                           const std::string& file) {
  const std::uint64_t at = entry.header_offset;
  if (at + kLocalHeaderSize > archive.size() || number(archive, at, 4) != kLocalHeader)
    refuse(file, fmt::format("the header of \"{}\" is broken", entry.name));
  const std::uint64_t data =
      at + kLocalHeaderSize + number(archive, at + 26, 2) + number(archive, at + 28, 2);
  if (data + entry.compressed > archive.size()) refuse(file, fmt::format("\"{}\" is cut short", entry.name));
  const std::string_view compressed = archive.substr(data, entry.compressed);
  std::string content;
  if (entry.method == 0) {
    if (compressed.size() > limit)
      refuse(file, fmt::format("\"{}\" holds more than {} bytes", entry.name, limit));
    content = std::string(compressed);
  } else if (entry.method == 8) {
    content = inflate_all(compressed, limit, file, entry.name);
  } else {
    refuse(file, fmt::format("\"{}\" is compressed by method {}, expected none or deflate", entry.name,
                             entry.method));
  }
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
  if (content.size() != entry.size || static_cast<std::uint32_t>(crc) != entry.crc)
    refuse(file, fmt::format("\"{}\" does not match its checksum", entry.name));
  return content;
}

}  // namespace moeplan::sim
