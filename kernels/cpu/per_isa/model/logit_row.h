// What softmax needs of a row of logits.
#pragma once

#include <algorithm>
#include <limits>

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

inline float row_maximum(const float* z, int n) {
  Vec largest = broadcast(-std::numeric_limits<float>::infinity());
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) largest = maximum(largest, load(z + i));
  float result = maximum(largest);
  for (; i < n; ++i) result = std::max(result, z[i]);
  return result;
}

inline float sum_of_exponentials(const float* z, int n, float shift) {
  Vec total = {};
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) total += exponential(load(z + i) - shift);
  float result = sum(total);
  for (; i < n; ++i) result += exponential(z[i] - shift);
  return result;
}

}  // namespace remoe::REMOE_TARGET
