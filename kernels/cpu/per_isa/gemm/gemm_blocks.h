// Sizes that the blocked GEMM shares with the context, which owns its buffers.
#pragma once

#include <cstddef>

namespace remoe {

// Floats of one thread's packing buffer: a block of A and a block of B for any target.
inline constexpr std::size_t kPackingFloats = 524288;

}  // namespace remoe
