// The softmax of one token's logits, shared by the routers that have probabilities.
#pragma once

#include <cmath>

#include "moe/router_rows.h"

namespace remoe {

// The largest of `value` over the lanes, in every lane; NaN loses.
__device__ __forceinline__ float warp_max(float value) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kFullWarp, value, step));
  }
  return value;
}

// Gives the log-sum-exp of the row.
template <int kSlots>
__device__ __forceinline__ float softmax_in_place(RowValues<kSlots>& row, int experts) {
  float largest = -INFINITY;
  for_each_expert<kSlots>(experts, [&](int i, int e) { largest = fmaxf(largest, row.at(i, e)); });
  largest = warp_max(largest);
  const float total = row_sum<kSlots>(
      experts, [&](int i, int e) { return row.at(i, e) = expf(row.at(i, e) - largest); });
  const float inverse = 1.0f / total;
  for_each_expert<kSlots>(experts, [&](int i, int e) { row.at(i, e) *= inverse; });
  return largest + logf(total);
}

}  // namespace remoe
