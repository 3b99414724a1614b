// Attention of single tokens against the keys and values in a cache.
//
// A token at length n takes 4 n head_dim operations per head on 2 n head_dim floats per group. It
// is bound by reading the cache, which is read once for all heads of a group.
#pragma once

#include <cmath>
#include <type_traits>

#include "per_isa/attention/attention_arguments.h"
#include "per_isa/gemm/packing.h"
#include "per_isa/gemm/workspace.h"
#include "per_isa/simd/elements.h"
#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {
namespace extend {

// A group's part of the cache and of the projections, from one token of a sequence on.
template <class T>
struct GroupOf {
  const T* query;  // the first of its heads
  int64_t query_step;
  T* out;
  int64_t out_step;
  const T *keys, *values;  // of its row
  int64_t row;             // elements between tokens of the cache
  int heads;               // that share the group
  int head_dim;
};

// A thread's scratch.
struct TokenMemory {
  float* scores;   // [heads of a group, longest]
  float* queries;  // [heads of a group, head_dim], if those are bf16
  float* results;

  template <class Call>
  TokenMemory(Workspace& memory, const Call& call)
      : scores(memory.take(call.heads_of_group * call.longest)),
        queries(memory.take(call.heads_of_group * call.head_dim)),
        results(memory.take(call.heads_of_group * call.head_dim)) {}
};

template <class T>
float dot(const float* a, const T* b, int count) {
  Vec total = {};
  int i = 0;
  for (; i + kLanes <= count; i += kLanes) total += load(a + i) * load(b + i);
  if (i < count) total += load_partial(a + i, count - i) * load_partial(b + i, count - i);
  return sum(total);
}

// total = sum over p < count of weights[p] * x[p * row ..], for V vectors, or for `columns`
// elements of one.
template <int V, class T>
void weighted_sum(float* total, const T* x, int64_t row, const float* weights, int64_t count,
                  int columns = kLanes) {
  Vec sums[V] = {};
  for (int64_t p = 0; p < count; ++p, x += row) {
    prefetch_run(x + kRowsAhead * row, V * kLanes);
    for (int v = 0; v < V; ++v) {
      const Vec value = columns == kLanes ? load(x + v * kLanes) : load_partial(x, columns);
      sums[v] += value * weights[p];
    }
  }
  for (int v = 0; v < V; ++v) {
    if (columns == kLanes) {
      store(total + v * kLanes, sums[v]);
    } else {
      store_partial(total, sums[v], columns);
    }
  }
}

template <class T>
void weighted_values(float* total, const T* x, int64_t row, const float* weights, int64_t count,
                     int dim) {
  int i = 0;
  for (; i + 4 * kLanes <= dim; i += 4 * kLanes) {
    weighted_sum<4>(total + i, x + i, row, weights, count);
  }
  for (; i + kLanes <= dim; i += kLanes) weighted_sum<1>(total + i, x + i, row, weights, count);
  if (i < dim) weighted_sum<1>(total + i, x + i, row, weights, count, dim - i);
}

// Replaces scores[0, count) with their softmax.
inline void normalize(float* scores, int64_t count) {
  Vec most = broadcast(scores[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) most = maximum(load(scores + i), most);
  float largest = maximum(most);
  for (; i < count; ++i) largest = maximum(scores[i], largest);
  map(scores, scores, count, [=](Vec score) { return exponential(score - largest); });
  float total = 0;
  for (int64_t p = 0; p < count; ++p) total += scores[p];
  const float inverse = 1 / total;
  map(scores, scores, count, [=](Vec weight) { return weight * inverse; });
}

// Attends with the heads of a group for token `i` of those at hand, which sees `seen` tokens.
template <class T>
void attend_token(const GroupOf<T>& group, const TokenMemory& memory, int64_t i, int64_t seen) {
  constexpr bool kInFp32 = std::is_same_v<T, float>;
  const int dim = group.head_dim;
  const T* stored = group.query + i * group.query_step;
  T* out = group.out + i * group.out_step;
  const float* query = memory.queries;
  float* total = memory.results;
  if constexpr (kInFp32) {
    query = stored;
    total = out;
  } else {
    convert_run(memory.queries, stored, int64_t{group.heads} * dim);
  }
  const float scale = 1 / std::sqrt(static_cast<float>(dim));
  for (int64_t p = 0; p < seen; ++p) {
    prefetch_run(group.keys + (p + kRowsAhead) * group.row, dim);
    for (int head = 0; head < group.heads; ++head) {
      memory.scores[head * seen + p] =
          scale * dot(query + int64_t{head} * dim, group.keys + p * group.row, dim);
    }
  }
  for (int head = 0; head < group.heads; ++head) {
    float* weights = memory.scores + head * seen;
    normalize(weights, seen);
    weighted_values(total + int64_t{head} * dim, group.values, group.row, weights, seen, dim);
  }
  if constexpr (!kInFp32) convert_run(out, total, int64_t{group.heads} * dim);
}

}  // namespace extend
}  // namespace remoe::REMOE_TARGET
