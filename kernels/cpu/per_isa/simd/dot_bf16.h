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

// The second and the first element of each pair, widened.
REMOE_INLINE Vec second_of(Pairs x) { return __builtin_bit_cast(Vec, x & 0xffff0000u); }
REMOE_INLINE Vec first_of(Pairs x) { return __builtin_bit_cast(Vec, x << 16); }

REMOE_INLINE Vec dot_pairs(Vec sum, Pairs a, Pairs b) {
#if defined(__AVX512BF16__)
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#else
  return first_of(a) * first_of(b) + (second_of(a) * second_of(b) + sum);
#endif
}

}  // namespace remoe::REMOE_TARGET
