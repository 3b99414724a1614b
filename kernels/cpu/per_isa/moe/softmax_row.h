// The softmax of one token's logits, shared by the routers that have probabilities.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// Gives the log-sum-exp of the row.
inline float softmax_in_place(float* row, int count) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int e = 0; e < count; ++e) largest = std::max(largest, row[e]);
  map(row, row, count, [=](Vec v) { return exponential(v - largest); });
  float total = 0;
  for (int e = 0; e < count; ++e) total += row[e];
  const float inverse = 1.0f / total;
  for (int e = 0; e < count; ++e) row[e] *= inverse;
  return largest + std::log(total);
}

}  // namespace remoe::REMOE_TARGET
