#include "reports.h"

#include <unordered_set>
#include <vector>

namespace remoe::emulator {
namespace {

// Otherwise a fault in a loop would fill memory with reports.
constexpr size_t kMost = 1000;

struct Reports {
  std::unordered_set<std::string> seen;
  std::vector<std::string> lines;
};

Reports& reports() {
  static Reports kept;
  return kept;
}

}  // namespace

void add_report(const std::string& what, const std::string& detail) {
  Reports& kept = reports();
  if (kept.lines.size() == kMost || !kept.seen.insert(what).second) return;
  kept.lines.push_back(detail.empty() ? what : what + " (" + detail + ")");
}

std::string all_reports() {
  std::string text;
  for (const std::string& line : reports().lines) text += line + "\n";
  return text;
}

void clear_reports() { reports() = Reports(); }

}  // namespace remoe::emulator
