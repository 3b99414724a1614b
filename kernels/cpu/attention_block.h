// Blocks of causal attention: 64 queries against 64 keys of one head, all in cache.
//
// Scores are held transposed, [keys, queries]: the queries are the lanes of a vector, so that a
// query's maximum, sum and log-sum-exp are lane by lane, without a reduction inside a vector. It
// also means that no operand but the queries needs transposing: in S^T = K Q^T the elements of K
// are broadcast and the vectors run along Q^T; in O = P V those of P^T are broadcast, a column at a
// time, and the vectors run along V.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "packing.h"
#include "vector_math.h"

namespace remoe::REMOE_TARGET {

// Queries, and keys, of a block: four blocks of 64 x 64 floats or 64 x head_dim fill L1 and little
// of L2, and a task has enough blocks at sequences of 256.
inline constexpr int kBlock = 64;
// The grain of the causal mask inside a diagonal block: products stop at the next multiple.
inline constexpr int kStep = 16;
static_assert(kStep % kLanes == 0 && kBlock % kStep == 0);

inline int64_t padded_dim(int head_dim) { return (head_dim + kLanes - 1) / kLanes * kLanes; }

// A [m,k] as elements a[r * row + p * column], broadcast one by one.
struct Broadcast {
  const float* a;
  int64_t row;
  int64_t column;
};

template <int R, int V>
REMOE_INLINE void product_tile(int k, Broadcast a, const float* b, int64_t ldb, float* c,
                               int64_t ldc, bool accumulate) {
  Vec acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[r][v] = accumulate ? load(c + r * ldc + v * kLanes) : Vec{};
  }
  for (int p = 0; p < k; ++p) {
    Vec row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = load(b + p * ldb + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec x = broadcast(a.a[r * a.row + p * a.column]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[r][v] += x * row[v];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(c + r * ldc + v * kLanes, acc[r][v]);
  }
}

// C [m,n] (+)= A B, with m a multiple of kStep and n of kLanes; every operand is in cache.
// 8 x 2 accumulators keep two multiply-add units of latency 4 busy and divide the block evenly;
// with 16 registers there is room for 4 x 2.
inline void product(int m, int n, int k, Broadcast a, const float* b, int64_t ldb, float* c,
                    int64_t ldc, bool accumulate) {
#if defined(__AVX512F__) || defined(__aarch64__)
  constexpr int kRows = 8;
#else
  constexpr int kRows = 4;
#endif
  for (int r = 0; r < m; r += kRows) {
    const Broadcast rows{a.a + r * a.row, a.row, a.column};
    int j = 0;
    for (; j + 2 * kLanes <= n; j += 2 * kLanes) {
      product_tile<kRows, 2>(k, rows, b + j, ldb, c + r * ldc + j, ldc, accumulate);
    }
    if (j < n) product_tile<kRows, 1>(k, rows, b + j, ldb, c + r * ldc + j, ldc, accumulate);
  }
}

// The part of a block that causality leaves. In a diagonal block, query i sees the keys 0..i.
struct BlockMask {
  bool diagonal;
  // The first query (a multiple of kStep) that sees any key of the step from `key` on.
  int first_query(int key) const { return diagonal ? key / kStep * kStep : 0; }
  // The keys (a multiple of kStep) seen by any query of the step from `query` on.
  int keys_of(int query) const { return diagonal ? query / kStep * kStep + kStep : kBlock; }
};

// scores [keys, queries] = K Q^T where the mask leaves them. k: rows of keys, `ld` apart; qt: Q^T,
// [head_dim, kBlock].
inline void score_block(float* scores, const float* k, const float* qt, int64_t ld, int head_dim,
                        BlockMask mask) {
  for (int key = 0; key < kBlock; key += kStep) {
    const int first = mask.first_query(key);
    product(kStep, kBlock - first, head_dim, {k + key * ld, ld, 1}, qt + first, kBlock,
            scores + key * kBlock + first, kBlock, false);
  }
}

// target [keys, dim] += X Y with X [keys, queries] (P^T or dS^T) and Y [queries, dim] (dO or Q).
inline void add_over_queries(float* target, const float* x, const float* y, int64_t dim,
                             BlockMask mask) {
  for (int key = 0; key < kBlock; key += kStep) {
    const int first = mask.first_query(key);
    product(kStep, static_cast<int>(dim), kBlock - first, {x + key * kBlock + first, kBlock, 1},
            y + first * dim, dim, target + key * dim, dim, true);
  }
}

// target [queries, dim] += X^T Y with X [keys, queries] (P^T or dS^T) and Y [keys, dim] (V or K).
inline void add_over_keys(float* target, const float* x, const float* y, int64_t dim,
                          BlockMask mask) {
  for (int query = 0; query < kBlock; query += kStep) {
    product(kStep, static_cast<int>(dim), mask.keys_of(query), {x + query, 1, kBlock}, y, dim,
            target + query * dim, dim, true);
  }
}

// In the diagonal block, the lanes of scores from `query` on whose query does not see `key` become
// -infinity.
REMOE_INLINE Vec masked(Vec scores, int query, int key) {
  IVec lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  const Vec nothing = broadcast(-std::numeric_limits<float>::infinity());
  return lane + query < key ? nothing : scores;
}

// `count` rows of `head_dim` floats, `stride` apart, to kBlock rows of padded_dim(head_dim): 0
// where there is nothing to copy.
inline void copy_rows(float* target, const float* source, int64_t stride, int count, int head_dim) {
  const int64_t dim = padded_dim(head_dim);
  for (int r = 0; r < count; ++r) {
    float* row = target + r * dim;
    const float* from = source + r * stride;
    int i = 0;
    for (; i + kLanes <= head_dim; i += kLanes) store(row + i, load(from + i));
    if (i < head_dim) store(row + i, load_partial(from + i, head_dim - i));
  }
  std::memset(target + count * dim, 0, sizeof(float) * (kBlock - count) * dim);
}

// The same rows transposed, [head_dim, kBlock].
inline void copy_transposed(float* target, const float* source, int64_t stride, int count,
                            int head_dim) {
  pack_across<kBlock>(kBlock, count, head_dim, target,
                      [&](int64_t r) { return source + r * stride; });
}

// The other way: `count` rows of a block to rows `stride` apart, times factor(row).
template <class Factor>
void write_rows(float* target, int64_t stride, const float* block, int count, int head_dim,
                Factor&& factor) {
  const int64_t dim = padded_dim(head_dim);
  for (int r = 0; r < count; ++r) {
    const float scale = factor(r);
    for (int i = 0; i < head_dim; ++i) target[r * stride + i] = block[r * dim + i] * scale;
  }
}

}  // namespace remoe::REMOE_TARGET
