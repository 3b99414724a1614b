// Stores that bypass the caches, for results that will have left the caches before they are read
// again. A plain store would read the line first and evict data still needed.
//
// Used only if a vector is a whole cache line. Lines written in two parts, with others in between,
// leave the few write-combining buffers half filled: with AVX2 the forward pass of nano's experts
// took 1.4 times as long as with plain stores.
#pragma once

#include <cstdint>

#include "per_isa/simd/vector_math.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace remoe::REMOE_TARGET {

REMOE_INLINE void stream(float* p, Vec v) {
#if defined(__AVX512F__)
  if (reinterpret_cast<uintptr_t>(p) % sizeof(Vec) == 0) return _mm512_stream_ps(p, v);
#endif
  store(p, v);
}

// Streamed stores are not ordered with others: the thread that issued them must call this before
// another thread may read.
REMOE_INLINE void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

}  // namespace remoe::REMOE_TARGET
