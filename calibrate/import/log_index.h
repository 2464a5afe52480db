#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/csv.h"
#include "base/units.h"
#include "sim/collective/nccl_log.h"

namespace moeplan::calibrate {

/// What one may know of a log that it does not say itself.
struct LogFacts {
  std::optional<sim::NcclTest> test;
  std::optional<int> nodes, gpus_per_node;
  std::string gpu, software, source;
  std::string cluster;                      ///< whose links were measured
  std::optional<base::BytesPerSecond> nic;  ///< one GPU's share of its node's NICs
  std::string defect;                       ///< why the source's own words rule the log out
  std::string said_by;                      ///< "index.csv:12", for messages
};

/// Facts about many logs, from CSV tables; what several tables say of a file or cluster adds up.
///
/// By column `file`: any of collective, gpu, nodes, gpus_per_node, cluster_id, software, source, and remarks
/// (nic, fabric, notes), of which only words about faulty links count. By column `cluster_id` alone:
/// gpus_per_node, nics_per_node and nic_Gbps. Other columns are left unread.
class LogIndex {
 public:
  /// Throws InputError where the table has neither key, or a cell is no number or no collective.
  void add(const base::CsvTable& table);
  /// Facts of a log by its path, or by its name alone; with the NICs of its cluster.
  std::optional<LogFacts> find(const std::string& path) const;
  /// The NIC rate of a GPU of this cluster, where a table states it.
  std::optional<base::BytesPerSecond> nic_of(const std::string& cluster) const;

  /// A file that a table names: beside the table, and where it is named.
  struct Named {
    std::string path, table;
    int line = 0;
  };
  /// In the order of the tables, each once.
  const std::vector<Named>& files() const { return files_; }

 private:
  void add_log(const base::CsvTable& table, std::size_t row, base::DiagnosticSink& sink);
  void add_cluster(const base::CsvTable& table, std::size_t row, base::DiagnosticSink& sink);

  std::map<std::string, LogFacts> logs_;  ///< by the name as the table writes it
  std::map<std::string, base::BytesPerSecond> nics_;
  std::vector<Named> files_;
};

}  // namespace moeplan::calibrate
