// One run of a row of the cache: the softmax of a new token's scores and the sum of its values, for
// some heads of a group. Eight lanes share a token, so that four tokens of a cache are read by a
// warp at once, in whole lines.
#pragma once

#include <cmath>

#include "attention/attention_arguments.h"
#include "device/block_scan.h"

namespace remoe::extend {

constexpr int kThreads = 256;
constexpr int kRun = 256;                  // tokens of a block
constexpr int kLanes = 8;                  // lanes that share a token
constexpr int kTeams = kThreads / kLanes;  // tokens at a time
constexpr int kElements = 8;               // adjacent elements of a lane
constexpr int kSpan = kLanes * kElements;  // elements that a team covers at once

// Where a new token goes: its row of the cache, and its position there; -1 if it is out of range.
struct Place {
  int row;
  int position;
};

template <class T>
struct ExtendArguments {
  T* out;          // [T, heads * head_dim]
  T* qkv;          // [T, stride]
  T* cache;        // [B, capacity, 2 * groups * head_dim]: keys, then values
  float* partial;  // [T, heads, runs, head_dim + 2]: sum of p v, then m and l
  const Place* places;
  AttentionSizes sizes;  // the batch is that of tokens
  int capacity;
  int runs;
  double base;
  bool wide;

  // The same for `count` tokens from the first on.
  ExtendArguments from(int first, int count) const {
    ExtendArguments some = *this;
    some.out += static_cast<size_t>(first) * sizes.out_stride();
    some.qkv += static_cast<size_t>(first) * sizes.stride;
    some.places += first;
    some.sizes.batch = count;
    return some;
  }
  __device__ __forceinline__ size_t row() const {
    return static_cast<size_t>(2) * sizes.groups * sizes.head_dim;
  }
  __device__ __forceinline__ T* token(int cache_row, int at) const {
    return cache + (static_cast<size_t>(cache_row) * capacity + at) * row();
  }
  __device__ __forceinline__ float* partial_of(int token, int head, int run) const {
    const size_t index = (static_cast<size_t>(token) * sizes.heads + head) * runs + run;
    return partial + index * (sizes.head_dim + 2);
  }
};

// A lane's kElements adjacent elements from `column` on, 0 beyond the head.
template <class T>
__device__ __forceinline__ void load_elements(float (&to)[kElements], const T* from, int column,
                                              int head_dim, bool wide) {
  constexpr int kWidth = 16 / sizeof(T);
  if (wide) {
#pragma unroll
    for (int part = 0; part < kElements; part += kWidth) {
      const bool inside = column + part < head_dim;
      const auto v = inside ? load_vector<T, kWidth>(from + column + part) : Vector<T, kWidth>{};
#pragma unroll
      for (int i = 0; i < kWidth; i++) to[part + i] = to_float(v.element[i]);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kElements; i++) {
    to[i] = column + i < head_dim ? to_float(from[column + i]) : 0.0f;
  }
}

template <int kSpans>
__device__ __forceinline__ float dot(const float (&x)[kSpans][kElements],
                                     const float (&y)[kSpans][kElements]) {
  float sum = 0.0f;
#pragma unroll
  for (int s = 0; s < kSpans; s++) {
#pragma unroll
    for (int i = 0; i < kElements; i++) sum += x[s][i] * y[s][i];
  }
  return sum;
}

template <int kHeads>
struct RunShared {
  float weight[kHeads][kRun];               // scores, then exp(score - m)
  float result[kTeams / 4][kHeads][kSpan];  // of each warp, for one span of elements
};

// Scores of this run: each team takes every kTeams-th token, for all heads of the block.
template <int kHeads, int kSpans, class T>
__device__ __forceinline__ void score_run(RunShared<kHeads>& shared, const ExtendArguments<T>& a,
                                          const T* query, const T* keys, int heads, int tokens,
                                          float scale) {
  const int dim = a.sizes.head_dim;
  const int team = static_cast<int>(threadIdx.x) / kLanes;
  const int column = static_cast<int>(threadIdx.x) % kLanes * kElements;
  float q[kHeads][kSpans][kElements];
#pragma unroll
  for (int h = 0; h < kHeads; h++) {
#pragma unroll
    for (int s = 0; s < kSpans; s++) {
      const int from = h < heads ? column + s * kSpan : dim;
      load_elements(q[h][s], query + static_cast<size_t>(h) * dim, from, dim, a.wide);
    }
  }
  // Several tokens are under way at once, to hide the latency of reading them. All lanes of a warp
  // stay in the loop for the shuffles.
  constexpr int kAhead = 4 / kSpans;
  for (int first = 0; first < tokens; first += kAhead * kTeams) {
    float k[kAhead][kSpans][kElements];
#pragma unroll
    for (int n = 0; n < kAhead; n++) {
      const int token = first + n * kTeams + team;
#pragma unroll
      for (int s = 0; s < kSpans; s++) {
        const int from = token < tokens ? column + s * kSpan : dim;
        load_elements(k[n][s], keys + static_cast<size_t>(token) * a.row(), from, dim, a.wide);
      }
    }
#pragma unroll
    for (int n = 0; n < kAhead; n++) {
      const int token = first + n * kTeams + team;
#pragma unroll
      for (int h = 0; h < kHeads; h++) {
        float score = dot(q[h], k[n]);
#pragma unroll
        for (int step = 1; step < kLanes; step *= 2) {
          score += __shfl_xor_sync(kFullWarp, score, step);
        }
        if (column == 0 && token < tokens) shared.weight[h][token] = score * scale;
      }
    }
  }
}

// Turns the scores of a head into exp(score - m), by one warp, and keeps m and l.
__device__ __forceinline__ void soften(float* weight, int tokens, float* largest_and_total) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float largest = -INFINITY;
  for (int i = lane; i < tokens; i += kWarp) largest = fmaxf(largest, weight[i]);
#pragma unroll
  for (int step = 1; step < kWarp; step *= 2) {
    largest = fmaxf(largest, __shfl_xor_sync(kFullWarp, largest, step));
  }
  float total = 0.0f;
  for (int i = lane; i < tokens; i += kWarp) {
    weight[i] = expf(weight[i] - largest);
    total += weight[i];
  }
  total = warp_sum(total);
  if (lane == 0) {
    largest_and_total[0] = largest;
    largest_and_total[1] = total;
  }
}

// The sum of p v over the run, one span of elements at a time: teams add up their tokens, the four
// teams of a warp by shuffles, and the warps in their order.
template <int kHeads, class T>
__device__ __forceinline__ void add_values(RunShared<kHeads>& shared, const ExtendArguments<T>& a,
                                           const T* values, int first_element, int tokens,
                                           float (&sum)[kHeads][kElements]) {
  const int dim = a.sizes.head_dim;
  const int team = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
#pragma unroll 4
  for (int token = team; token < tokens; token += kTeams) {
    float v[kElements];
    load_elements(v, values + static_cast<size_t>(token) * a.row(),
                  first_element + lane * kElements, dim, a.wide);
#pragma unroll
    for (int h = 0; h < kHeads; h++) {
#pragma unroll
      for (int i = 0; i < kElements; i++) sum[h][i] += shared.weight[h][token] * v[i];
    }
  }
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int h = 0; h < kHeads; h++) {
#pragma unroll
    for (int i = 0; i < kElements; i++) {
      float& x = sum[h][i];
      x += __shfl_xor_sync(kFullWarp, x, kLanes);
      x += __shfl_xor_sync(kFullWarp, x, 2 * kLanes);
      if (team % 4 == 0) shared.result[warp][h][lane * kElements + i] = x;
    }
  }
}

template <int kHeads, int kSpans, class T>
__global__ void __launch_bounds__(kThreads) run_kernel(ExtendArguments<T> a, float scale) {
  RunShared<kHeads>& shared = gpu::shared<RunShared<kHeads>>();
  const AttentionSizes& sizes = a.sizes;
  const int dim = sizes.head_dim;
  const int run = static_cast<int>(blockIdx.x) % a.runs;
  const int passes = (sizes.heads_of_group() + kHeads - 1) / kHeads;
  const int rest = static_cast<int>(blockIdx.x) / a.runs;
  const int pass = rest % passes;
  const int group = rest / passes % sizes.groups;
  const int added = rest / passes / sizes.groups;
  const Place place = a.places[added];
  const int first_token = run * kRun;
  if (place.position < first_token) return;
  const int left = place.position + 1 - first_token;
  const int tokens = left < kRun ? left : kRun;
  const int first_head = group * sizes.heads_of_group() + pass * kHeads;
  const int remaining = sizes.heads_of_group() - pass * kHeads;
  const int heads = remaining < kHeads ? remaining : kHeads;
  const int thread = static_cast<int>(threadIdx.x);

  const T* query =
      a.qkv + static_cast<size_t>(added) * sizes.stride + static_cast<size_t>(first_head) * dim;
  const T* keys = a.token(place.row, first_token) + static_cast<size_t>(group) * dim;
  const T* values = keys + static_cast<size_t>(sizes.groups) * dim;
  score_run<kHeads, kSpans>(shared, a, query, keys, heads, tokens, scale);
  __syncthreads();
  const int warp = thread / kWarp;
  if (warp < heads) {
    soften(shared.weight[warp], tokens, a.partial_of(added, first_head + warp, run) + dim);
  }
  __syncthreads();
  for (int element = 0; element < dim; element += kSpan) {
    float sum[kHeads][kElements] = {};
    add_values<kHeads>(shared, a, values, element, tokens, sum);
    __syncthreads();
    for (int i = thread; i < heads * kSpan; i += kThreads) {
      const int head = i / kSpan;
      const int column = i % kSpan;
      float total = 0.0f;
      for (int w = 0; w < kTeams / 4; w++) total += shared.result[w][head][column];
      if (element + column < dim) {
        a.partial_of(added, first_head + head, run)[element + column] = total;
      }
    }
    __syncthreads();
  }
}

}  // namespace remoe::extend
