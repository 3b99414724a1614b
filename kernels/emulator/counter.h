// The emulator's calls into the counting build (counter.cpp): what its own instructions move and
// compute, and where a warp's lanes are together. The other builds link no_counter.cpp.
#pragma once

#include <cstddef>

namespace remoe::emulator::counter {

// A warp's lanes access `bytes` of global or shared memory each; `caller` tells one such
// instruction from another.
void lane_access(const void* address, size_t bytes, bool is_write, const void* caller);

// A copy of a run of global memory that no warp's access is part of: a row of a box.
void bulk_access(const void* global, size_t bytes, bool is_write);

// The lane's row of ldmatrix. Until `matrices_end`, what its thread accesses is part of that.
void matrices_begin(const void* row);
void matrices_end();

// Counts floating-point operations of a warp on tensor cores. Whether to compute them: what kernels
// ask of a GPU does not depend on their results.
bool product(long operations);

// All lanes of a warp are at one point, or all threads of the block.
void warp_meets(int warp);
void block_meets();
void block_ends();

}  // namespace remoe::emulator::counter
