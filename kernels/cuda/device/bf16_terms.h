// fp32 as a sum of bf16 terms, for tensor cores that multiply bf16: a product of two terms is exact
// in fp32, and the products of the terms i and j are about 2^-8(i + j) of the first ones.
#pragma once

#include "device/bf16.h"

namespace remoe {

constexpr int kTerms = 3;

// x as the sum of bf16 terms, rounded to nearest: after three, nothing remains of an fp32. Of
// infinity the second term is NaN.
template <int kCount>
__device__ __forceinline__ void split_pair(Bf16Pair (&terms)[kCount], float low, float high) {
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    terms[i] = to_bf16_pair(low, high);
    low -= low_of(terms[i]);
    high -= high_of(terms[i]);
  }
}

}  // namespace remoe
