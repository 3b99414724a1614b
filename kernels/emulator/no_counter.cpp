#include "counter.h"

namespace remoe::emulator::counter {

void lane_access(const void*, size_t, bool, const void*) {}
void bulk_access(const void*, size_t, bool) {}
void matrices_begin(const void*) {}
void matrices_end() {}
bool product(long) { return true; }
void warp_meets(int) {}
void block_meets() {}
void block_ends() {}

}  // namespace remoe::emulator::counter
