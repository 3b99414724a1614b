// The softmax of one token's logits, shared by the routers that have probabilities.
#pragma once

#include <cmath>

#include "device/block_reduce.h"
#include "moe/router_rows.h"

namespace remoe {

// Gives the log-sum-exp of the row.
template <int kSlots>
__device__ __forceinline__ float softmax_in_place(RowValues<kSlots>& row, int experts) {
  float largest = -INFINITY;
  for_each_expert<kSlots>(experts, [&](int i, int e) { largest = fmaxf(largest, row.at(i, e)); });
  // NaN loses.
  largest = warp_reduce(largest, [](float a, float b) { return fmaxf(a, b); });
  const float total = row_sum<kSlots>(
      experts, [&](int i, int e) { return row.at(i, e) = expf(row.at(i, e) - largest); });
  const float inverse = 1.0f / total;
  for_each_expert<kSlots>(experts, [&](int i, int e) { row.at(i, e) *= inverse; });
  return largest + logf(total);
}

}  // namespace remoe
