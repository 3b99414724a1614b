// Page-locked memory of the emulated device, with a page behind it that nobody may touch: host code
// that writes past a block ends there instead of in its neighbour.
#pragma once

#include <cstddef>

namespace remoe::emulator {

// A block that ends within an alignment of 64 bytes before its guard; nullptr if there is no
// memory.
void* map_before_guard(size_t bytes);
void unmap_before_guard(void* address, size_t bytes);

}  // namespace remoe::emulator
