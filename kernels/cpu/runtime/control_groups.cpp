#include "runtime/control_groups.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>
#include <vector>

namespace remoe {
namespace {

// The first number of a file if it is above 0, else infinity: "max" is not a number, and -1 means
// no limit.
double positive(std::istream&& from) {
  double value = 0;
  return from >> value && value > 0 ? value : std::numeric_limits<double>::infinity();
}

double first_number(const std::string& path) { return positive(std::ifstream(path)); }

double cores_of(double quota, double period) {
  return quota == std::numeric_limits<double>::infinity() ? quota : quota / period;
}

// The group that a mount shows as its root; empty for the root group.
std::string shown_group(const std::string& root, const std::string& mount) {
  std::ifstream file(root + "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, group, point;
    fields >> id >> parent >> device >> group >> point;
    if (root + point.substr(std::min<std::size_t>(1, point.size())) == mount) {
      return group == "/" ? "" : group;
    }
  }
  return "";
}

bool lists(std::string_view names, std::string_view name) {
  for (std::size_t begin = 0; begin <= names.size();) {
    const std::size_t end = std::min(names.find(',', begin), names.size());
    if (names.substr(begin, end - begin) == name) return true;
    begin = end + 1;
  }
  return false;
}

// The process's group for a controller ("" is version 2), as /proc lists it in lines like
// "4:memory:/a/b" and "0::/a/b".
std::string own_group(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t names = line.find(':'), path = line.find(':', names + 1);
    if (names == std::string::npos || path == std::string::npos) continue;
    if (lists(std::string_view(line).substr(names + 1, path - names - 1), controller)) {
      return line.substr(path + 1);
    }
  }
  return "";
}

// The folders of the process's group and its ancestors. A container may see its own subtree of the
// groups while /proc uses the names of the whole machine. The mount is then all there is to look
// at.
std::vector<std::string> folders_of(const std::string& root, const std::string& mount,
                                    std::string_view controller) {
  std::vector<std::string> folders{mount};
  std::string group = own_group(root, controller);
  const std::string shown = shown_group(root, mount);
  if (group == shown || group.starts_with(shown + "/")) group.erase(0, shown.size());
  // The process is outside the groups it can see.
  if (group.find("/..") != std::string::npos) return folders;
  for (std::size_t end = 0; end < group.size();) {
    end = std::min(group.find('/', end + 1), group.size());
    if (end > 1) folders.push_back(mount + group.substr(0, end));
  }
  return folders;
}

}  // namespace

Grant read_grant(const std::string& root) {
  const std::string mount = root + "sys/fs/cgroup";
  double bytes = std::numeric_limits<double>::infinity();
  Grant grant;
  // In "unified", version 2 is mounted alongside version 1.
  for (const std::string& unified : {mount, mount + "/unified"}) {
    for (const std::string& folder : folders_of(root, unified, "")) {
      std::ifstream limit(folder + "/cpu.max");
      std::string quota, period;
      limit >> quota >> period;
      grant.cores = std::min(grant.cores, cores_of(positive(std::istringstream(quota)),
                                                   positive(std::istringstream(period))));
      bytes = std::min(bytes, first_number(folder + "/memory.max"));
    }
  }
  for (const std::string& folder : folders_of(root, mount + "/cpu", "cpu")) {
    grant.cores = std::min(grant.cores, cores_of(first_number(folder + "/cpu.cfs_quota_us"),
                                                 first_number(folder + "/cpu.cfs_period_us")));
  }
  for (const std::string& folder : folders_of(root, mount + "/memory", "memory")) {
    bytes = std::min(bytes, first_number(folder + "/memory.limit_in_bytes"));
  }
  // From 2^63 on there is no limit, which keeps infinity out of the cast. Version 1's "no limit",
  // 2^63 rounded down to a page, passes as a limit beyond the memory of any machine.
  if (bytes < 0x1p63) grant.memory_bytes = static_cast<uint64_t>(bytes);
  return grant;
}

}  // namespace remoe
