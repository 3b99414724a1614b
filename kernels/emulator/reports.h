// What went wrong, for the test to read.
#pragma once

#include <string>

namespace remoe::emulator {

// Keeps `what` once; `detail`, of the first time, follows it.
void add_report(const std::string& what, const std::string& detail);

std::string all_reports();  // one a line
void clear_reports();

}  // namespace remoe::emulator
