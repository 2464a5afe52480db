#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/object_reader.h"

namespace moeplan::sim {

/// How long the documents are that training sequences are made of.
struct DocumentSpec {
  enum class Source {
    kFixed,      ///< all of `mean` tokens
    kLognormal,  ///< exp of a normal variable with standard deviation sigma; mean `mean` tokens
    kLengths     ///< drawn, with replacement, from a list of measured ones
  };
  Source source = Source::kFixed;
  double mean = 0;                    ///< tokens
  double sigma = 0;                   ///< of the logarithm
  std::string file;                   ///< that the list came from, as the run file names it
  std::vector<std::int64_t> lengths;  ///< tokens; of kLengths
  std::uint64_t seed = 1;             ///< of the draws; not part of a run file
  friend bool operator==(const DocumentSpec&, const DocumentSpec&) = default;
};

/// The map `documents` of a run file. `run_file`: a file of lengths is looked for beside it.
DocumentSpec read_documents(base::ObjectReader& reader, const std::string& run_file);
/// Lengths of documents: .npy (one dimension, whole numbers), .csv (column `length`), else text, one number a
/// line (empty lines and those that start with # are skipped). Throws InputError.
std::vector<std::int64_t> load_document_lengths(const std::string& path);
/// "log-normal, mean 1200 tokens, sigma 1.3".
std::string describe(const DocumentSpec& documents);

/// The documents of all sequences of one step, one after the other.
struct PackedStep {
  std::vector<std::int64_t> lengths;  ///< tokens, of the parts that documents are cut into
  std::vector<std::size_t> first;     ///< [sequence], where its documents begin in lengths; and the end
  std::span<const std::int64_t> sequence(std::size_t i) const {
    return {lengths.data() + first[i], first[i + 1] - first[i]};
  }
};

/// Documents of a step, drawn and packed.
///
/// Model:   documents follow each other in one stream that is cut every seq_len tokens; what is left of one
/// that is
///          cut is the first document of the next sequence. Sequences are then shuffled, as a training set
///          is. A document longer than seq_len fills sequences. One stream of numbers a (seed, draw), so that
///          a step has its documents whatever the plan.
/// Source: Megatron-LM, megatron/core/datasets/gpt_dataset.py (documents concatenated, samples of seq_len,
/// sample order shuffled); attention inside documents: megatron/core/packed_seq_params.py. Not modelled:
/// packing that keeps documents whole (best fit, with padding), end-of-document tokens, the cyclic sampler
/// (--dataloader-type cyclic; the order of sequences does not change what is drawn on average).
PackedStep pack_documents(const DocumentSpec& documents, std::int64_t seq_len, std::int64_t sequences,
                          int draw);

}  // namespace moeplan::sim
