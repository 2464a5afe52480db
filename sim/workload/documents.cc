#include "sim/workload/documents.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "base/csv.h"
#include "base/files.h"
#include "base/random.h"
#include "sim/workload/npy_array.h"

namespace moeplan::sim {

namespace {

constexpr std::int64_t kMaxLength = 1'000'000'000;
constexpr double kMaxSigma = 5.0;

void check_length(std::int64_t length, const std::string& path, int line, base::DiagnosticSink& sink) {
  if (length >= 1 && length <= kMaxLength) return;
  sink.add({path,
            {line, 1},
            "",
            fmt::format("found a document of {} tokens, expected 1 to {}", length, kMaxLength),
            ""});
}

std::vector<std::int64_t> read_npy_lengths(const std::string& path) {
  const std::string text = base::read_text_file(path);
  const NpyArray array = parse_npy(text, path);
  base::DiagnosticSink sink;
  if (array.shape.size() != 1 || array.kind == 'f') {
    sink.add({path,
              {},
              "",
              fmt::format("found {} dimensions of {} numbers, expected one dimension of whole numbers",
                          array.shape.size(), array.kind == 'f' ? "floating-point" : "whole"),
              ""});
    sink.throw_if_any();
  }
  std::vector<std::int64_t> lengths;
  for (std::size_t i = 0; i < array.count(); ++i) {
    lengths.push_back(static_cast<std::int64_t>(array.at(i)));
    check_length(lengths.back(), path, 1, sink);
  }
  sink.throw_if_any();
  return lengths;
}

std::vector<std::int64_t> read_csv_lengths(const std::string& path) {
  const base::CsvTable table = base::load_csv(path);
  const std::size_t column = table.require_column("length");
  base::DiagnosticSink sink;
  std::vector<std::int64_t> lengths;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    lengths.push_back(table.integer(row, column, sink));
    if (sink.empty()) check_length(lengths.back(), path, table.line(row), sink);
  }
  sink.throw_if_any();
  return lengths;
}

std::vector<std::int64_t> read_text_lengths(const std::string& path) {
  const std::string text = base::read_text_file(path);
  base::DiagnosticSink sink;
  std::vector<std::int64_t> lengths;
  int line = 0;
  for (std::size_t from = 0; from < text.size();) {
    ++line;
    const std::size_t end = std::min(text.find('\n', from), text.size());
    std::string_view word(text.data() + from, end - from);
    from = end + 1;
    while (!word.empty() && (word.back() == '\r' || word.back() == ' ')) word.remove_suffix(1);
    if (word.empty() || word.front() == '#') continue;
    std::int64_t length = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), length);
    if (error != std::errc() || stop != word.data() + word.size()) {
      sink.add({path,
                {line, 1},
                "",
                fmt::format("found \"{}\", expected the tokens of one document", word.substr(0, 40)),
                "one whole number a line; a table with a column \"length\" ends in .csv"});
      continue;
    }
    lengths.push_back(length);
    check_length(length, path, line, sink);
  }
  sink.throw_if_any();
  return lengths;
}

/// The next document's tokens.
std::int64_t draw_length(const DocumentSpec& documents, base::RandomStream& stream) {
  if (documents.source == DocumentSpec::Source::kLengths)
    return documents.lengths[static_cast<std::size_t>(stream.below(documents.lengths.size()))];
  if (documents.source == DocumentSpec::Source::kFixed)
    return std::max<std::int64_t>(1, std::llround(documents.mean));
  const double s = documents.sigma;
  const double length = documents.mean * std::exp(s * stream.normal() - 0.5 * s * s);
  return std::clamp<std::int64_t>(std::llround(std::min(length, static_cast<double>(kMaxLength))), 1,
                                  kMaxLength);
}

}  // namespace

std::vector<std::int64_t> load_document_lengths(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  std::vector<std::int64_t> lengths = extension == ".npy"   ? read_npy_lengths(path)
                                      : extension == ".csv" ? read_csv_lengths(path)
                                                            : read_text_lengths(path);
  if (lengths.empty())
    throw base::InputError(
        {base::Diagnostic{path, {1, 1}, "", "found no document", "one length a document"}});
  return lengths;
}

DocumentSpec read_documents(base::ObjectReader& reader, const std::string& run_file) {
  DocumentSpec documents;
  const std::string word = reader.one_of("lengths", {"fixed", "lognormal", "file"});
  if (word == "file") {
    documents.source = DocumentSpec::Source::kLengths;
    documents.file = reader.required<std::string>("file");
    if (!documents.file.empty()) {
      const std::filesystem::path path(documents.file);
      documents.lengths = load_document_lengths(
          path.is_absolute() ? path.string()
                             : (std::filesystem::path(run_file).parent_path() / path).string());
      const double sum = std::accumulate(documents.lengths.begin(), documents.lengths.end(), 0.0);
      documents.mean = sum / static_cast<double>(documents.lengths.size());
    }
  } else {
    documents.mean = reader.required<double>("mean");
    if (reader.has("mean") && !(documents.mean >= 1.0 && documents.mean <= static_cast<double>(kMaxLength)))
      reader.fault("mean", fmt::format("found {}, expected 1 to {} tokens", documents.mean, kMaxLength));
  }
  if (word == "lognormal") {
    documents.source = DocumentSpec::Source::kLognormal;
    documents.sigma = reader.required<double>("sigma");
    if (reader.has("sigma") && !(documents.sigma >= 0.0 && documents.sigma <= kMaxSigma))
      reader.fault("sigma", fmt::format("found {}, expected 0 to {}", documents.sigma, kMaxSigma),
                   "the standard deviation of the logarithm of a length");
  }
  reader.finish();
  return documents;
}

std::string describe(const DocumentSpec& documents) {
  switch (documents.source) {
    case DocumentSpec::Source::kFixed:
      return fmt::format("all of {:.6g} tokens", documents.mean);
    case DocumentSpec::Source::kLognormal:
      return fmt::format("log-normal, mean {:.6g} tokens, sigma {:.3g}", documents.mean, documents.sigma);
    case DocumentSpec::Source::kLengths:
      return fmt::format("{} lengths of {}, mean {:.6g} tokens", documents.lengths.size(), documents.file,
                         documents.mean);
  }
  return "";
}

PackedStep pack_documents(const DocumentSpec& documents, std::int64_t seq_len, std::int64_t sequences,
                          int draw) {
  base::RandomStream stream =
      base::RandomStream(documents.seed, "documents").substream(static_cast<std::uint64_t>(draw));
  std::vector<std::vector<std::int64_t>> cut(static_cast<std::size_t>(sequences));
  std::int64_t left = 0;  // of the document at hand
  for (auto& sequence : cut) {
    for (std::int64_t room = seq_len; room > 0;) {
      if (left == 0) left = draw_length(documents, stream);
      const std::int64_t part = std::min(left, room);
      sequence.push_back(part);
      left -= part;
      room -= part;
    }
  }
  std::vector<std::int32_t> order(cut.size());
  std::iota(order.begin(), order.end(), 0);
  stream.shuffle(order);
  PackedStep step;
  step.first.push_back(0);
  for (const std::int32_t i : order) {
    const auto& sequence = cut[static_cast<std::size_t>(i)];
    step.lengths.insert(step.lengths.end(), sequence.begin(), sequence.end());
    step.first.push_back(step.lengths.size());
  }
  return step;
}

}  // namespace moeplan::sim
