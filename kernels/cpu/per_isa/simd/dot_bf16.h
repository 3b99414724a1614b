// Dot products of pairs of bf16, the unit of bf16 matrix products.
//
// A 32-bit lane holds two consecutive elements of the inner dimension, the first in its lower half.
// dot_pairs adds a_1 b_1 and then a_0 b_0 to each lane, each product exact and each sum rounded to
// nearest even: the order of vdpbf16ps. Where that instruction is missing, widened operands and
// fp32 multiply-adds give the same bits, but for subnormals, which it flushes (and for the baseline
// target, whose multiply-adds round twice).
#pragma once

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// Two bf16 per lane.
using Pairs = UVec;

REMOE_INLINE Vec dot_pairs(Vec sum, Pairs a, Pairs b) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  constexpr uint32_t kUpper = 0xffff0000u;
  const Vec a0 = __builtin_bit_cast(Vec, a << 16), b0 = __builtin_bit_cast(Vec, b << 16);
  const Vec a1 = __builtin_bit_cast(Vec, a & kUpper), b1 = __builtin_bit_cast(Vec, b & kUpper);
  return a0 * b0 + (a1 * b1 + sum);
#endif
}

}  // namespace remoe::REMOE_TARGET
