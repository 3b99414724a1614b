// Stores past the caches, for results that are not read again before the caches have moved on. A
// plain store reads the line first, and pushes out what is still needed.
//
// Only where a vector is a whole cache line. Lines that are written in two parts, with others in
// between, leave the processor's few write-combining buffers half filled: with AVX2 the forward
// pass of nano's experts took 1.4 times as long as with plain stores.
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

// Streamed stores are not ordered with others: to be called by the thread that made them before
// another thread may read.
REMOE_INLINE void finish_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

}  // namespace remoe::REMOE_TARGET
