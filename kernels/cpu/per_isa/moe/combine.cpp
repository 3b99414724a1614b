// Gathers the sum by token instead of scattering it by row: no two threads write to the same
// element, and terms are added in the order of the experts for any number of threads.
#include "per_isa/moe/combine.h"

#include <algorithm>
#include <cstring>

#include "per_isa/simd/vector_math.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Columns accumulated in registers before they are stored: one pass over the target for any number
// of experts.
constexpr int kVectors = 8;

template <int vectors>
REMOE_INLINE void sum_columns(float* target, const float* rows, const int32_t* slots, int count,
                              int hidden, bool accumulate) {
  Vec total[vectors];
  for (int v = 0; v < vectors; ++v) total[v] = accumulate ? load(target + v * kLanes) : Vec{};
  for (int i = 0; i < count; ++i) {
    const float* row = rows + static_cast<int64_t>(slots[i]) * hidden;
    for (int v = 0; v < vectors; ++v) total[v] += load(row + v * kLanes);
  }
  for (int v = 0; v < vectors; ++v) store(target + v * kLanes, total[v]);
}

void sum_rows(float* target, const float* rows, const int32_t* slots, int count, int hidden,
              bool accumulate) {
  int c = 0;
  for (; c + kVectors * kLanes <= hidden; c += kVectors * kLanes) {
    sum_columns<kVectors>(target + c, rows + c, slots, count, hidden, accumulate);
  }
  for (; c + kLanes <= hidden; c += kLanes) {
    sum_columns<1>(target + c, rows + c, slots, count, hidden, accumulate);
  }
  for (; c < hidden; ++c) {
    float total = accumulate ? target[c] : 0.0f;
    for (int i = 0; i < count; ++i) total += rows[static_cast<int64_t>(slots[i]) * hidden + c];
    target[c] = total;
  }
}

}  // namespace

void combine(Context& context, float* target, const float* rows, const Plan& plan, int tokens,
             int hidden, bool accumulate) {
  if (plan.rows() == 0) {
    if (accumulate) return;
    parallel_ranges(context, static_cast<int64_t>(tokens) * hidden, 1,
                    [&](int64_t begin, int64_t end) {
                      std::memset(target + begin, 0, (end - begin) * sizeof(float));
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
