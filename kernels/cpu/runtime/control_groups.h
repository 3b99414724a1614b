// What control groups, of which containers are made, grant this process.
#pragma once

#include <cstdint>
#include <limits>
#include <string>

namespace remoe {

struct Grant {
  uint64_t memory_bytes = std::numeric_limits<uint64_t>::max();
  double cores = std::numeric_limits<double>::infinity();  // of processor time
};

// The least that the process's groups and those above them grant, of both versions of control
// groups. `root` stands for "/", and ends with one.
Grant read_grant(const std::string& root = "/");

}  // namespace remoe
