// The experts' forward pass for so few rows that a weight is used only once or twice, as in
// generation. It is bound by the weights' memory traffic, so they are read once, in place and in
// long runs: packing them into panels would add a write and a read.
//
// A task is one chunk of the width for one row: its g and u, SwiGLU, and its part of the second
// product, which is added to those of the other chunks in order.
#pragma once

#include <algorithm>
#include <cstdint>

#include "per_isa/moe/dispatch_plan.h"
#include "per_isa/moe/swiglu.h"
#include "per_isa/simd/elements.h"
#include "runtime/context.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {

// The most rows that take this path. They share no weight reads, not even rows of the same expert.
inline constexpr int kFewRows = 4;

// Columns of the width per task: runs of 1 KiB of W_gate and of W_up, with sums that stay in L1.
inline constexpr int64_t kFewRowsChunk = 256;

// sum[i] += sum over r < count of x[r] * w[r * stride + i], i < n. Each pass over the sums takes
// four rows, and prefetches the four after the next, a line of each at a time: all at once would
// wait for the buffers of outstanding misses.
template <class T>
void add_weighted_rows(float* sum, int64_t n, const T* w, int64_t stride, const float* x,
                       int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  int64_t r = 0;
  for (; r + 4 <= count; r += 4) {
    const T* row = w + r * stride;
    const int64_t ahead = std::clamp<int64_t>(count - r - 8, 0, 4);
    const float x0 = x[r], x1 = x[r + 1], x2 = x[r + 2], x3 = x[r + 3];
    const T *w0 = row, *w1 = row + stride, *w2 = w1 + stride, *w3 = w2 + stride;
    int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      if (i % kLine == 0) {
        for (int64_t next = 8; next < 8 + ahead; ++next) {
          __builtin_prefetch(row + next * stride + i);
        }
      }
      store(sum + i, load(sum + i) + (load(w0 + i) * x0 + load(w1 + i) * x1) +
                         (load(w2 + i) * x2 + load(w3 + i) * x3));
    }
    for (; i < n; ++i) {
      sum[i] +=
          (widened(w0[i]) * x0 + widened(w1[i]) * x1) + (widened(w2[i]) * x2 + widened(w3[i]) * x3);
    }
  }
  for (; r < count; ++r) {
    for (int64_t i = 0; i < n; ++i) sum[i] += widened(w[r * stride + i]) * x[r];
  }
}

// State shared by the tasks of one call.
template <class T>
struct FewRows {
  const float* x;
  const T* w1;
  const T* w2;
  const float* gates;
  int64_t hidden;
  int64_t width;
  int64_t experts;
};

// part [D] = the contribution of columns `width` of the expert's W1, SwiGLU and rows `width` of its
// W2, for one token.
template <class T>
void few_rows_task(const FewRows<T>& call, float* part, int64_t token, int64_t expert,
                   Range width) {
  const int64_t columns = width.end - width.begin;
  const T* w1 = call.w1 + expert * call.hidden * 2 * call.width + width.begin;
  const float* x = call.x + token * call.hidden;
  float g[kFewRowsChunk] = {}, u[kFewRowsChunk] = {};
  add_weighted_rows(g, columns, w1, 2 * call.width, x, call.hidden);
  add_weighted_rows(u, columns, w1 + call.width, 2 * call.width, x, call.hidden);
  const float gate = call.gates[token * call.experts + expert];
  for (int64_t c = 0; c < columns; ++c) g[c] = swiglu(g[c], u[c]) * gate;
  std::fill(part, part + call.hidden, 0.0f);
  const T* w2 = call.w2 + (expert * call.width + width.begin) * call.hidden;
  add_weighted_rows(part, call.hidden, w2, call.hidden, g, columns);
}

// rows [N,D] = gate FFN(x) of each row of the plan; N is at most kFewRows.
template <class T>
void experts_few_rows(Context& context, float* rows, const FewRows<T>& call, const Plan& plan) {
  const int64_t chunks = (call.width + kFewRowsChunk - 1) / kFewRowsChunk;
  int expert_of[kFewRows] = {};
  for (int e = 0; e < call.experts; ++e) {
    for (int i = 0; i < plan.expert_rows(e); ++i) expert_of[plan.expert_offset(e) + i] = e;
  }
  Scratch<float> parts(context, plan.rows() * chunks * call.hidden);
  parallel_tasks(context, plan.rows() * chunks, [&](int64_t task, int) {
    const int64_t row = task / chunks, begin = task % chunks * kFewRowsChunk;
    few_rows_task(call, parts.data() + task * call.hidden, plan.row_token()[row], expert_of[row],
                  {begin, std::min(call.width, begin + kFewRowsChunk)});
  });
  for (int64_t row = 0; row < plan.rows(); ++row) {
    const float* part = parts.data() + row * chunks * call.hidden;
    float* sum = rows + row * call.hidden;
    std::copy(part, part + call.hidden, sum);
    for (int64_t c = 1; c < chunks; ++c) {
      for (int64_t d = 0; d < call.hidden; ++d) sum[d] += part[c * call.hidden + d];
    }
  }
}

}  // namespace remoe::REMOE_TARGET
