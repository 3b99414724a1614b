// What went wrong, for tests to read.
#pragma once

#include <string>

namespace remoe::emulator {

// Keeps `what` once, followed by the `detail` of its first occurrence.
void add_report(const std::string& what, const std::string& detail);

std::string all_reports();  // one per line
void clear_reports();

}  // namespace remoe::emulator
