// One choice of a token in SparseMixer-v2 routing (GRIN, arXiv:2409.12136): the experts that its
// mask keeps, and their softmax.
#pragma once

#include <cmath>

#include "moe/choose_largest.h"
#include "moe/softmax_row.h"

namespace remoe {

// A token's logits, and a row that is not 0 for the experts that its earlier choices took.
template <class Row>
struct ChoiceRow {
  RowValues<Row> logits;
  RowValues<Row> taken;
  int experts;
  float width;  // of the mask: 2 * jitter

  __device__ __forceinline__ ChoiceRow(float* logit_row, float* taken_row, int row_experts,
                                       float mask_width)
      : logits(logit_row), taken(taken_row), experts(row_experts), width(mask_width) {
    logits.load(experts);
    for_each_expert<Row>(experts, [&](int i, int e) { taken.at(i, e) = 0.0f; });
  }

  __device__ __forceinline__ bool is_free(int i, int e) { return taken.at(i, e) == 0.0f; }

  __device__ __forceinline__ void take(int expert) {
    for_each_expert<Row>(experts, [&](int i, int e) {
      if (e == expert) taken.at(i, e) = 1.0f;
    });
  }

  // The value of a row at one expert, in every lane.
  __device__ __forceinline__ float logit_of(int expert) {
    float own = 0.0f;
    for_each_expert<Row>(experts, [&](int i, int e) {
      if (e == expert) own = logits.at(i, e);
    });
    return Row::kLanes == 1 ? own : __shfl_sync(kFullWarp, own, expert % kWarp);
  }
};

// m and its place, and 1 over the sum that makes p.
template <class Row>
struct Choice {
  int best;
  float largest;
  float inverse;

  __device__ __forceinline__ explicit Choice(ChoiceRow<Row>& row) {
    best = find_largest<Row>(
        row.experts, [&](int i, int e) { return row.is_free(i, e); },
        [&](int i, int e) { return row.logits.at(i, e); });
    largest = row.logit_of(best);
    inverse = 1.0f / row_sum<Row>(row.experts, [&](int i, int e) {
                return keeps(row, i, e) ? exponential(row, i, e) : 0.0f;
              });
  }

  // exp(s - m), p before it is normalised.
  __device__ __forceinline__ float exponential(ChoiceRow<Row>& row, int i, int e) const {
    return expf(row.logits.at(i, e) - largest);
  }

  // Not by a division, so that two logits of 0, or an infinite m, keep the expert.
  __device__ __forceinline__ bool keeps(ChoiceRow<Row>& row, int i, int e) const {
    const float logit = row.logits.at(i, e);
    return row.is_free(i, e) && !(largest - logit > row.width * fmaxf(fabsf(logit), largest));
  }

  // The first choice's m is that of all experts, so its exponentials also give the softmax of all.
  __device__ __forceinline__ float inverse_of_all(ChoiceRow<Row>& row) const {
    return 1.0f / row_sum<Row>(row.experts, [&](int i, int e) { return exponential(row, i, e); });
  }
};

}  // namespace remoe
