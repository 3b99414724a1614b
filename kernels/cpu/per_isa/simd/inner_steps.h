// Unrolling of the inner loops of products.
#pragma once

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// Inner steps between two branches. Unrolling leaves fewer instructions per multiply-add, which
// matters when a core shares its front end with a second thread: on a busy Zen 3, a product in L1
// went from 70 to 80 % of peak. Without fused multiply-adds, products need registers too, and more
// steps would spill sums.
#if defined(__FMA__) || defined(__aarch64__)
inline constexpr int kUnroll = 4;
#else
inline constexpr int kUnroll = 1;
#endif

// sum += a * b, by the instruction that overwrites the sum. The compiler may choose to overwrite a
// factor instead, and between unrolled steps it does, at the price of copies and spilled sums.
REMOE_INLINE void multiply_add(Vec& sum, Vec a, Vec b) {
#if defined(__AVX512F__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#elif defined(__FMA__)
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
#else
  sum += a * b;
#endif
}

}  // namespace remoe::REMOE_TARGET
