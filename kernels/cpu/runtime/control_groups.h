// The limits that control groups, the basis of containers, set for this process.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace remoe {

struct Grant {
  uint64_t memory_bytes = std::numeric_limits<uint64_t>::max();
  double cores = std::numeric_limits<double>::infinity();  // of processor time
};

// The tightest limits of the process's groups and their ancestors, in both versions of control
// groups. `root` stands for "/" and ends with one.
Grant read_grant(const std::string& root = "/");

}  // namespace remoe
