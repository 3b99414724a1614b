// What the checkers share.
#pragma once

#include <cstddef>
#include <string>

namespace remoe::emulator::checker {

// The module of an address in the kernel's code and the offset within it, for addr2line.
std::string locate(const void* caller);

// Whether the running block has written this byte of its shared memory.
bool is_shared_written(size_t offset);

}  // namespace remoe::emulator::checker
