// Stores past the caches, for results that are not read again before the caches have moved on. A
// plain store reads the line first, and pushes out what is still needed.
#pragma once

#include <cstdint>

#include "vector_math.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace remoe::REMOE_TARGET {

REMOE_INLINE void stream(float* p, Vec v) {
#if defined(__SSE2__)
  if (reinterpret_cast<uintptr_t>(p) % sizeof(Vec) == 0) {
#if defined(__AVX512F__)
    return _mm512_stream_ps(p, v);
#elif defined(__AVX2__)
    return _mm256_stream_ps(p, v);
#else
    return _mm_stream_ps(p, v);
#endif
  }
#endif
  store(p, v);
}

// Streamed stores are not ordered with others: to be called by the thread that made them before
// another thread may read.
REMOE_INLINE void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace remoe::REMOE_TARGET
