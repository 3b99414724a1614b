// The shared memory of the running block: one array, since one block runs at a time.
#pragma once

#include <cstddef>

namespace remoe::emulator {

constexpr size_t kSharedMemoryBytes = 227 * 1024;

// Distance from its start; at least kSharedMemoryBytes if the address lies elsewhere.
size_t shared_offset(const void* address);

// Fills the memory that the launch requested with NaN patterns.
void poison_shared_memory(size_t bytes);

}  // namespace remoe::emulator
