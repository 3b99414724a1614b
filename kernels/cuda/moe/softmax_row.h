// The softmax of one token's logits, shared by the routers that have probabilities.
#pragma once

#include <cmath>

#include "moe/router_rows.h"

namespace remoe {

// Gives the log-sum-exp of the row.
template <class Row>
__device__ __forceinline__ float softmax_in_place(RowValues<Row>& row, int experts) {
  float largest = -INFINITY;
  for_each_expert<Row>(experts, [&](int i, int e) { largest = fmaxf(largest, row.at(i, e)); });
  // NaN loses.
  largest = row_reduce<Row>(largest, [](float a, float b) { return fmaxf(a, b); });
  const float total = row_sum<Row>(
      experts, [&](int i, int e) { return row.at(i, e) = expf(row.at(i, e) - largest); });
  const float inverse = 1.0f / total;
  for_each_expert<Row>(experts, [&](int i, int e) { row.at(i, e) *= inverse; });
  return largest + logf(total);
}

}  // namespace remoe
