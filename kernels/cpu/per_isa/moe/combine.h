// Combines the experts' rows into their tokens.
//
// Gathers the sum by token instead of scattering it by row: no two threads write to the same
// element, and terms are added in the order of the experts for any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "per_isa/moe/dispatch_plan.h"
#include "per_isa/simd/elements.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// Columns accumulated in registers before they are stored: one pass over the target for any number
// of experts.
inline constexpr int kCombinedVectors = 8;

template <int vectors, class T>
REMOE_INLINE void sum_columns(T* target, const float* rows, const int32_t* slots, int count,
                              int hidden, bool accumulate) {
  Vec total[vectors];
  for (int v = 0; v < vectors; ++v) total[v] = accumulate ? load(target + v * kLanes) : Vec{};
  for (int i = 0; i < count; ++i) {
    const float* row = rows + static_cast<int64_t>(slots[i]) * hidden;
    for (int v = 0; v < vectors; ++v) total[v] += load(row + v * kLanes);
  }
  for (int v = 0; v < vectors; ++v) store(target + v * kLanes, total[v]);
}

template <class T>
void sum_rows(T* target, const float* rows, const int32_t* slots, int count, int hidden,
              bool accumulate) {
  int c = 0;
  for (; c + kCombinedVectors * kLanes <= hidden; c += kCombinedVectors * kLanes) {
    sum_columns<kCombinedVectors>(target + c, rows + c, slots, count, hidden, accumulate);
  }
  for (; c + kLanes <= hidden; c += kLanes) {
    sum_columns<1>(target + c, rows + c, slots, count, hidden, accumulate);
  }
  for (; c < hidden; ++c) {
    float total = accumulate ? widened(target[c]) : 0.0f;
    for (int i = 0; i < count; ++i) total += rows[static_cast<int64_t>(slots[i]) * hidden + c];
    target[c] = rounded<T>(total);
  }
}

// target [T,D]: target_t (+)= sum of rows[r] over the rows r of token t, experts ascending; 0 for a
// token without an expert. rows is [N,D] of fp32; a bf16 target is rounded once.
template <class T>
void combine(Context& context, T* target, const float* rows, const Plan& plan, int tokens,
             int hidden, bool accumulate) {
  if (plan.rows() == 0) {
    if (accumulate) return;
    parallel_ranges(context, static_cast<int64_t>(tokens) * hidden, 1,
                    [&](int64_t begin, int64_t end) {
                      std::memset(target + begin, 0, (end - begin) * sizeof(T));
                    });
    return;
  }
  parallel_ranges(context, tokens, hidden, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int first = plan.token_offset(t);
      sum_rows(target + t * hidden, rows, plan.token_row() + first,
               plan.token_offset(t + 1) - first, hidden, accumulate);
    }
  });
}

}  // namespace remoe::REMOE_TARGET
