// Attention of one new token per sequence against the keys and values of its predecessors.
//
// Reading the cache is what takes the time. A sequence's tokens are split into runs of 256, so that
// one long sequence keeps the device busy too: each block computes the softmax of one run for some
// heads of a group, and another kernel joins the runs in their order. The lengths are on the
// device, so the grid is that of the capacity, and blocks beyond a length end at once.
//
// Sequences whose length is out of range are left alone, and reported.

#include <cmath>

#include "attention/attention_arguments.h"
#include "device/block_scan.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kRun = 256;                  // tokens of a block
constexpr int kLanes = 8;                  // lanes that share a token
constexpr int kTeams = kThreads / kLanes;  // tokens at a time
constexpr int kElements = 8;               // adjacent elements of a lane
constexpr int kSpan = kLanes * kElements;  // elements that a team covers at once

template <class T>
struct DecodeArguments {
  T* out;          // [B, heads * head_dim]
  T* qkv;          // [B, stride]
  T* cache;        // [B, capacity, 2 * groups * head_dim]: keys, then values
  float* partial;  // [B, heads, runs, head_dim + 2]: sum of p v, then m and l
  const int32_t* lengths;
  AttentionSizes sizes;
  int capacity;
  int runs;
  double base;
  bool wide;

  // The position of the new token, or -1 if it is out of range.
  __device__ __forceinline__ int position(int batch) const {
    const int length = lengths[batch];
    return length >= 0 && length < capacity ? length : -1;
  }
  __device__ __forceinline__ size_t row() const {
    return static_cast<size_t>(2) * sizes.groups * sizes.head_dim;
  }
  __device__ __forceinline__ T* token(int batch, int at) const {
    return cache + (static_cast<size_t>(batch) * capacity + at) * row();
  }
  __device__ __forceinline__ float* partial_of(int batch, int head, int run) const {
    const size_t index = (static_cast<size_t>(batch) * sizes.heads + head) * runs + run;
    return partial + index * (sizes.head_dim + 2);
  }
};

// Rotates the new queries and keys in place, and appends keys and values to the cache. One block
// per sequence: all its heads share the angles.
template <class T>
__global__ void __launch_bounds__(kThreads) append_kernel(DecodeArguments<T> a, IndexCheck check) {
  const int batch = static_cast<int>(blockIdx.x);
  const int position = a.position(batch);
  if (position < 0) {
    if (threadIdx.x == 0) check.report(batch, a.lengths[batch]);
    return;
  }
  float2* angles = &gpu::shared<float2>();
  const AttentionSizes& sizes = a.sizes;
  const int half = sizes.head_dim / 2;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < half; i += kThreads) {
    const double angle = position * pow(a.base, -static_cast<double>(i) / half);
    angles[i] = {static_cast<float>(cos(angle)), static_cast<float>(sin(angle))};
  }
  __syncthreads();
  T* qkv = a.qkv + static_cast<size_t>(batch) * sizes.stride;
  T* appended = a.token(batch, position);
  for (int item = thread; item < (sizes.heads + sizes.groups) * half; item += kThreads) {
    const int head = item / half;
    const int i = item % half;
    T* x = qkv + static_cast<size_t>(head) * sizes.head_dim + i;
    const float2 turn = angles[i];
    const float low = to_float(x[0]);
    const float high = to_float(x[half]);
    const T turned_low = to_element<T>(low * turn.x - high * turn.y);
    const T turned_high = to_element<T>(high * turn.x + low * turn.y);
    x[0] = turned_low;
    x[half] = turned_high;
    if (head < sizes.heads) continue;
    T* key = appended + static_cast<size_t>(head - sizes.heads) * sizes.head_dim + i;
    key[0] = turned_low;
    key[half] = turned_high;
  }
  const int values = sizes.groups * sizes.head_dim;
  const T* value = qkv + static_cast<size_t>(sizes.heads + sizes.groups) * sizes.head_dim;
  for (int i = thread; i < values; i += kThreads) appended[values + i] = value[i];
}

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

template <int kHeads>
struct RunShared {
  float weight[kHeads][kRun];               // scores, then exp(score - m)
  float result[kTeams / 4][kHeads][kSpan];  // of each warp, for one span of elements
};

// Scores of this run: each team takes every kTeams-th token, for all heads of the block.
template <int kHeads, int kSpans, class T>
__device__ __forceinline__ void score_run(RunShared<kHeads>& shared, const DecodeArguments<T>& a,
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
  // All lanes of a warp stay in the loop for the shuffles.
  for (int first = 0; first < tokens; first += kTeams) {
    const int token = first + team;
    float score[kHeads] = {};
#pragma unroll
    for (int s = 0; s < kSpans; s++) {
      float k[kElements];
      const int from = token < tokens ? column + s * kSpan : dim;
      load_elements(k, keys + static_cast<size_t>(token) * a.row(), from, dim, a.wide);
#pragma unroll
      for (int h = 0; h < kHeads; h++) {
#pragma unroll
        for (int i = 0; i < kElements; i++) score[h] += q[h][s][i] * k[i];
      }
    }
#pragma unroll
    for (int h = 0; h < kHeads; h++) {
#pragma unroll
      for (int step = 1; step < kLanes; step *= 2) {
        score[h] += __shfl_xor_sync(kFullWarp, score[h], step);
      }
      if (column == 0 && token < tokens) shared.weight[h][token] = score[h] * scale;
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
__device__ __forceinline__ void add_values(RunShared<kHeads>& shared, const DecodeArguments<T>& a,
                                           const T* values, int first_element, int tokens,
                                           float (&sum)[kHeads][kElements]) {
  const int dim = a.sizes.head_dim;
  const int team = static_cast<int>(threadIdx.x) / kLanes;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
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
__global__ void __launch_bounds__(kThreads) run_kernel(DecodeArguments<T> a, float scale) {
  RunShared<kHeads>& shared = gpu::shared<RunShared<kHeads>>();
  const AttentionSizes& sizes = a.sizes;
  const int dim = sizes.head_dim;
  const int run = static_cast<int>(blockIdx.x) % a.runs;
  const int passes = (sizes.heads_of_group() + kHeads - 1) / kHeads;
  const int rest = static_cast<int>(blockIdx.x) / a.runs;
  const int pass = rest % passes;
  const int group = rest / passes % sizes.groups;
  const int batch = rest / passes / sizes.groups;
  const int position = a.position(batch);
  const int first_token = run * kRun;
  if (position < first_token) return;
  const int left = position + 1 - first_token;
  const int tokens = left < kRun ? left : kRun;
  const int first_head = group * sizes.heads_of_group() + pass * kHeads;
  const int remaining = sizes.heads_of_group() - pass * kHeads;
  const int heads = remaining < kHeads ? remaining : kHeads;
  const int thread = static_cast<int>(threadIdx.x);

  const T* query =
      a.qkv + static_cast<size_t>(batch) * sizes.stride + static_cast<size_t>(first_head) * dim;
  const T* keys = a.token(batch, first_token) + static_cast<size_t>(group) * dim;
  const T* values = keys + static_cast<size_t>(sizes.groups) * dim;
  score_run<kHeads, kSpans>(shared, a, query, keys, heads, tokens, scale);
  __syncthreads();
  const int warp = thread / kWarp;
  if (warp < heads) {
    soften(shared.weight[warp], tokens, a.partial_of(batch, first_head + warp, run) + dim);
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
        a.partial_of(batch, first_head + head, run)[element + column] = total;
      }
    }
    __syncthreads();
  }
}

// Joins the runs of a head: one block per head of a sequence.
template <class T>
__global__ void __launch_bounds__(kThreads) join_kernel(DecodeArguments<T> a) {
  const AttentionSizes& sizes = a.sizes;
  const int dim = sizes.head_dim;
  const int batch = static_cast<int>(blockIdx.x) / sizes.heads;
  const int head = static_cast<int>(blockIdx.x) % sizes.heads;
  const int position = a.position(batch);
  if (position < 0) return;
  const int runs = position / kRun + 1;
  float largest = -INFINITY;
  for (int run = 0; run < runs; run++) {
    largest = fmaxf(largest, a.partial_of(batch, head, run)[dim]);
  }
  for (int d = static_cast<int>(threadIdx.x); d < dim; d += kThreads) {
    float sum = 0.0f;
    float total = 0.0f;
    for (int run = 0; run < runs; run++) {
      const float* from = a.partial_of(batch, head, run);
      const float factor = expf(from[dim] - largest);
      sum += from[d] * factor;
      total += from[dim + 1] * factor;
    }
    a.out[(static_cast<size_t>(batch) * sizes.heads + head) * dim + d] = to_element<T>(sum / total);
  }
}

[[noreturn]] void fail_at_length(int32_t length, int32_t sequence, int32_t capacity) {
  fail(REMOE_OUT_OF_RANGE,
       "sequence %d has %d tokens, but the cache has room for %d including the new one", sequence,
       length, capacity);
}

// Heads per block: a team's queries take kHeads * kSpans * kElements registers of a lane.
template <int kHeads, int kSpans, class T>
void launch_runs(Operation& op, const DecodeArguments<T>& a) {
  const AttentionSizes& sizes = a.sizes;
  const uint64_t passes = (sizes.heads_of_group() + kHeads - 1) / kHeads;
  const uint64_t blocks = passes * static_cast<uint64_t>(sizes.groups) *
                          static_cast<uint64_t>(sizes.batch) * static_cast<uint64_t>(a.runs);
  require(blocks <= 0x7fffffffu, "%llu runs of a cache are more than a grid has blocks",
          static_cast<unsigned long long>(blocks));
  const float scale = 1.0f / std::sqrt(static_cast<float>(sizes.head_dim));
  op.launch(run_kernel<kHeads, kSpans, T>, dim3(static_cast<unsigned>(blocks)), dim3(kThreads),
            sizeof(RunShared<kHeads>), a, scale);
}

template <class T>
void decode(Operation& op, DecodeArguments<T> a) {
  const IndexCheck check = op.index_check(fail_at_length, a.capacity);
  const AttentionSizes& sizes = a.sizes;
  const size_t heads = static_cast<size_t>(sizes.batch) * sizes.heads;
  const uint64_t addresses =
      reinterpret_cast<uint64_t>(a.qkv) | reinterpret_cast<uint64_t>(a.cache);
  a.runs = (a.capacity + kRun - 1) / kRun;
  a.wide = has_wide_heads(sizes, 16 / sizeof(T), sizeof(T), addresses);
  const Scratch<float> partial(op, heads * a.runs * (static_cast<size_t>(sizes.head_dim) + 2));
  a.partial = partial.data();
  op.launch(append_kernel<T>, dim3(sizes.batch), dim3(kThreads),
            sizeof(float2) * static_cast<size_t>(sizes.head_dim / 2), a, check);
  if (sizes.head_dim <= kSpan) {
    launch_runs<4, 1>(op, a);
  } else if (sizes.head_dim <= 2 * kSpan) {
    launch_runs<4, 2>(op, a);
  } else {
    launch_runs<2, 4>(op, a);
  }
  op.launch(join_kernel<T>, dim3(static_cast<unsigned>(heads)), dim3(kThreads), 0, a);
}

}  // namespace
}  // namespace remoe

int32_t remoe_attention_decode(uint64_t context, int32_t dtype, uint64_t out, uint64_t qkv,
                               uint64_t cache, uint64_t lengths, int32_t batch, int32_t capacity,
                               int32_t heads, int32_t groups, int32_t head_dim, int32_t stride,
                               double base) {
  using namespace remoe;
  return guard(context, "attention_decode", [&](Operation& op) {
    const AttentionSizes sizes = {batch, 1, heads, groups, head_dim, stride};
    require_size(capacity, "capacity");
    require_attention(sizes);
    require_pairs(head_dim, base);
    const int64_t used = (heads + 2 * int64_t{groups}) * head_dim;
    require(used <= stride, "stride is %d, but queries, keys and values need %lld elements per row",
            stride, static_cast<long long>(used));
    require_supported_head(head_dim);
    with_activations(dtype, [&](auto element) {
      using T = decltype(element);
      decode(op, DecodeArguments<T>{.out = require_address<T>(out, "out"),
                                    .qkv = require_address<T>(qkv, "qkv"),
                                    .cache = require_address<T>(cache, "cache"),
                                    .partial = nullptr,
                                    .lengths = require_address<const int32_t>(lengths, "lengths"),
                                    .sizes = sizes,
                                    .capacity = capacity,
                                    .runs = 0,
                                    .base = base,
                                    .wide = false});
    });
  });
}
