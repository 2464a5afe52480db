#include "sim/workload/router_trace.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "base/diagnostics.h"

namespace moeplan::sim {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMostExperts = 1 << 16;
constexpr std::size_t kLongestLine = std::size_t{1} << 30;
constexpr int kDeepest = 64;

/// Reads the JSON of one line: whole numbers, texts and lists, and whatever else is to be passed over.
class LineReader {
 public:
  LineReader(std::string_view text, const std::string& file, int line)
      : text_(text), file_(file), line_(line) {}

  [[noreturn]] void fail(const std::string& message) const {
    throw base::InputError({base::Diagnostic{file_, {line_, static_cast<int>(at_) + 1}, "", message, ""}});
  }
  void expect(char c) {
    if (!take(c)) fail(fmt::format("expected \"{}\"", c));
  }
  bool take(char c) {
    skip_blanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool is_at_end() {
    skip_blanks();
    return at_ >= text_.size();
  }
  std::int64_t whole_number() {
    skip_blanks();
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc() ||
        (end < text_.data() + text_.size() && (*end == '.' || *end == 'e' || *end == 'E')))
      fail("expected a whole number");
    at_ = static_cast<std::size_t>(end - text_.data());
    return value;
  }
  std::string_view string() {
    expect('"');
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
    if (at_ >= text_.size()) fail("a text does not end");
    return text_.substr(begin, at_++ - begin);
  }
  void skip_value(int depth = 0) {
    if (depth > kDeepest) fail("values are nested too deep");
    skip_blanks();
    if (at_ >= text_.size()) fail("the record is cut short");
    if (text_[at_] == '"') {
      string();
    } else if (take('[')) {
      if (take(']')) return;
      do skip_value(depth + 1);
      while (take(','));
      expect(']');
    } else if (take('{')) {
      if (take('}')) return;
      do {
        string();
        expect(':');
        skip_value(depth + 1);
      } while (take(','));
      expect('}');
    } else {
      const std::size_t begin = at_;
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 ||
                                    text_[at_] == '-' || text_[at_] == '+' || text_[at_] == '.'))
        ++at_;
      if (at_ == begin) fail("expected a value");
    }
  }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  std::string_view text_;
  const std::string& file_;
  int line_;
  std::size_t at_ = 0;
};

/// [[expert, expert], ...]: choices of each expert; a token's are all different.
void read_choices(LineReader& in, RouterRecord& record, std::int64_t& rows) {
  std::vector<std::int64_t> token;
  in.expect('[');
  if (in.take(']')) return;
  do {
    token.clear();
    in.expect('[');
    do {
      const std::int64_t expert = in.whole_number();
      if (expert < 0 || expert >= kMostExperts)
        in.fail(fmt::format("found expert {}, expected one of 0 to {}", expert, kMostExperts - 1));
      if (std::find(token.begin(), token.end(), expert) != token.end())
        in.fail(fmt::format("a token chooses expert {} twice", expert));
      token.push_back(expert);
      const auto index = static_cast<std::size_t>(expert);
      if (index >= record.per_expert.size()) record.per_expert.resize(index + 1, 0);
      ++record.per_expert[index];
    } while (in.take(','));
    in.expect(']');
    if (rows == 0) record.top_k = static_cast<std::int64_t>(token.size());
    if (static_cast<std::int64_t>(token.size()) != record.top_k)
      in.fail(fmt::format("a token chooses {} experts, others {}", token.size(), record.top_k));
    ++rows;
  } while (in.take(','));
  in.expect(']');
}

std::vector<std::string> trace_files(const std::string& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("router_trace_rank", 0) == 0 && entry.path().extension() == ".jsonl")
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) throw base::InputError(path + ": found no router_trace_rank*.jsonl in this folder");
  return files;
}

/// [layer][step][rank] -> records in order.
using Records =
    std::map<std::int64_t,
             std::map<std::int64_t, std::map<std::int64_t, std::vector<std::vector<std::uint32_t>>>>>;

class TraceReader {
 public:
  explicit TraceReader(const RouterTraceOptions& options) : options_(options) {}
  RouterLoad read(const std::string& path);

 private:
  void read_file(const std::string& path);
  void add(RouterRecord record, const std::string& file, int line);
  void tell() const {
    if (options_.progress) options_.progress(done_, total_);
  }
  void choose_steps(const std::string& path, std::vector<std::int64_t>& steps);

  const RouterTraceOptions& options_;
  Records records_;
  RouterLoad load_;
  std::int64_t left_out_ = 0;
  std::uint64_t done_ = 0, total_ = 0;
  std::size_t experts_ = 0;
};

void TraceReader::add(RouterRecord record, const std::string& file, int line) {
  if (!record.is_counted) {
    ++left_out_;
    return;
  }
  const auto fail = [&](const std::string& message) {
    throw base::InputError({base::Diagnostic{file, {line, 1}, "", message, ""}});
  };
  if (options_.experts > 0 && record.per_expert.size() > static_cast<std::size_t>(options_.experts))
    fail(fmt::format("found expert {}, expected one of 0 to {}", record.per_expert.size() - 1,
                     options_.experts - 1));
  if (load_.top_k == 0) load_.top_k = record.top_k;
  if (record.top_k != load_.top_k)
    fail(fmt::format("found top-{}, the records before have top-{}", record.top_k, load_.top_k));
  load_.tokens = std::max(load_.tokens, record.tokens);
  experts_ = std::max(experts_, record.per_expert.size());
  records_[record.layer][record.step][record.rank].push_back(std::move(record.per_expert));
}

void TraceReader::read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw base::InputError(path + ": cannot be read");
  std::string line;
  std::uint64_t told = done_;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.size() > kLongestLine)
      throw base::InputError(fmt::format("{}: line {} is longer than a record can be", path, number));
    done_ += line.size() + 1;
    const bool is_blank = line.find_first_not_of(" \t\r") == std::string::npos;
    // A run that was ended leaves half a line, without an end.
    if (file.eof() && !is_blank && line.find_last_of('}') != line.find_last_not_of(" \t\r")) {
      load_.notes.push_back(fmt::format("{}: line {} is cut short and left out", path, number));
      break;
    }
    if (!is_blank) add(parse_router_record(line, path, number), path, number);
    if (done_ - told > (std::uint64_t{16} << 20)) {
      told = done_;
      tell();
    }
  }
}

/// Those in which every rank of every layer has as many records.
void TraceReader::choose_steps(const std::string& path, std::vector<std::int64_t>& steps) {
  std::set<std::int64_t> all;
  std::size_t most = 0;
  std::set<std::size_t> sources;
  for (const auto& [layer, of_layer] : records_) {
    std::set<std::int64_t> ranks;
    for (const auto& [step, of_step] : of_layer) {
      all.insert(step);
      for (const auto& [rank, micro_batches] : of_step) {
        ranks.insert(rank);
        most = std::max(most, micro_batches.size());
      }
    }
    sources.insert(ranks.size());
  }
  if (sources.size() != 1)
    throw base::InputError(fmt::format("{}: some layers were routed on {} ranks and others on {}", path,
                                       *sources.begin(), *sources.rbegin()),
                           "are the files of all ranks there?");
  load_.sources = static_cast<int>(*sources.begin());
  load_.micro_batches = static_cast<int>(most);
  for (const std::int64_t step : all) {
    const bool whole = std::all_of(records_.begin(), records_.end(), [&](const auto& layer) {
      const auto found = layer.second.find(step);
      return found != layer.second.end() && found->second.size() == *sources.begin() &&
             std::all_of(found->second.begin(), found->second.end(),
                         [&](const auto& rank) { return rank.second.size() == most; });
    });
    if (whole) {
      steps.push_back(step);
    } else {
      load_.notes.push_back(fmt::format("step {} lacks records and is left out", step));
    }
  }
  if (steps.empty())
    throw base::InputError(fmt::format("{}: no step has all records of all its ranks", path));
}

RouterLoad TraceReader::read(const std::string& path) {
  const std::vector<std::string> files = trace_files(path);
  std::error_code none;
  for (const std::string& file : files) total_ += fs::file_size(file, none);
  for (const std::string& file : files) read_file(file);
  tell();
  if (left_out_ > 0)
    load_.notes.push_back(fmt::format("{} records of other stages or of MTP blocks are left out", left_out_));
  if (records_.empty())
    throw base::InputError(path + ": found no record of stage pre_dispatch and block decoder");
  std::vector<std::int64_t> steps;
  choose_steps(path, steps);
  load_.iterations = static_cast<int>(steps.size());
  load_.layers = static_cast<int>(records_.size());
  load_.experts = options_.experts > 0 ? options_.experts : static_cast<int>(experts_);
  for (const std::int64_t step : steps) {
    for (int source = 0; source < load_.sources; ++source) {
      for (auto& [layer, of_layer] : records_) {
        auto rank = of_layer[step].begin();
        std::advance(rank, source);
        for (std::vector<std::uint32_t>& counts : rank->second) {
          counts.resize(static_cast<std::size_t>(load_.experts), 0);
          load_.counts.insert(load_.counts.end(), counts.begin(), counts.end());
          counts = {};
        }
      }
    }
  }
  return std::move(load_);
}

}  // namespace

RouterRecord parse_router_record(std::string_view line, const std::string& file, int number) {
  LineReader in(line, file, number);
  RouterRecord record;
  std::int64_t stated_tokens = -1, stated_top_k = -1, rows = 0;
  bool has_choices = false;
  std::set<std::string_view> seen;
  in.expect('{');
  do {
    const std::string_view key = in.string();
    in.expect(':');
    if (key == "step" || key == "layer" || key == "rank" || key == "num_tokens" || key == "topk") {
      const std::int64_t value = in.whole_number();
      if (value < 0) in.fail(fmt::format("\"{}\" is below zero", key));
      (key == "step"    ? record.step
       : key == "layer" ? record.layer
       : key == "rank"  ? record.rank
       : key == "topk"  ? stated_top_k
                        : stated_tokens) = value;
      seen.insert(key);
    } else if (key == "stage") {
      record.is_counted = in.string() == "pre_dispatch" && record.is_counted;
    } else if (key == "block") {
      record.is_counted = in.string() == "decoder" && record.is_counted;
    } else if (key == "top_indices") {
      if (has_choices) in.fail("\"top_indices\" stands there twice");
      has_choices = true;
      read_choices(in, record, rows);
    } else {
      in.skip_value();
    }
  } while (in.take(','));
  in.expect('}');
  if (!in.is_at_end()) in.fail("something stands behind the record");
  for (const char* key : {"step", "layer", "rank"}) {
    if (seen.count(key) == 0) in.fail(fmt::format("\"{}\" is missing", key));
  }
  if (record.is_counted && rows == 0) in.fail("\"top_indices\" is missing or empty");
  record.tokens = rows;
  if (record.is_counted && stated_tokens >= 0 && stated_tokens != rows)
    in.fail(fmt::format("\"num_tokens\" says {}, \"top_indices\" has {}", stated_tokens, rows));
  if (record.is_counted && stated_top_k >= 0 && stated_top_k != record.top_k)
    in.fail(fmt::format("\"topk\" says {}, \"top_indices\" has {}", stated_top_k, record.top_k));
  return record;
}

RouterLoad read_router_trace(const std::string& path, const RouterTraceOptions& options) {
  return TraceReader(options).read(path);
}

std::string write_npy(const RouterLoad& load) {
  std::string header =
      fmt::format("{{'descr': '<u4', 'fortran_order': False, 'shape': ({}, {}, {}, {}, {}), }}",
                  load.iterations, load.sources, load.layers, load.micro_batches, load.experts);
  // Magic, version and length are 10 bytes; the header ends in a newline at a multiple of 64.
  header.append((64 - (10 + header.size() + 1) % 64) % 64, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xFF);
  out += static_cast<char>(header.size() >> 8);
  out += header;
  out.reserve(out.size() + 4 * load.counts.size());
  for (const std::uint32_t count : load.counts) {
    for (int byte = 0; byte < 4; ++byte) out += static_cast<char>((count >> (8 * byte)) & 0xFF);
  }
  return out;
}

}  // namespace moeplan::sim
