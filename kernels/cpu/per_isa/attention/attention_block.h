// Blocks of causal attention: 64 queries against 64 keys of one head, all in cache.
//
// Scores are held transposed, [keys, queries], with queries in vector lanes: a query's maximum, sum
// and log-sum-exp are computed lane by lane, without reductions within a vector. It also means that
// only the queries need transposing: S^T = K Q^T broadcasts the elements of K and runs vectors
// along Q^T; O = P V broadcasts those of P^T, one column at a time, and runs vectors along V.
//
// Operands of products are tiles of elements E: fp32, or bf16 in pairs that are neighbours along
// the inner dimension (simd/lane.h). Results are fp32. How operands come into tiles:
// operand_tiles.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "per_isa/gemm/cache_product.h"
#include "per_isa/gemm/cache_tile.h"
#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// Queries (and keys) per block: one chunk of a tile. A block of scores and four of 64 x 32 fill L1,
// and a sequence of 256 has enough blocks for skipping the causal half to pay off.
inline constexpr int kBlock = kChunk;
// The grain of the causal mask inside a diagonal block: products stop at the next multiple.
inline constexpr int kStep = 16;
static_assert(kStep % kLanes == 0 && kBlock % kStep == 0);

// Tiles of queries or keys pad the head dimension to whole vectors.
inline int64_t padded_dim(int64_t head_dim) { return round_up(head_dim, kLanes); }

// Part of a product: rows [row, row + kStep) and columns [column, column_end) of C, over the lanes
// [inner, inner_end) of the inner dimension.
struct ProductPart {
  int64_t row;
  int64_t column, column_end;
  int64_t inner, inner_end;
};

// 8 x 2 accumulators keep two multiply-add units of latency 4 busy and divide a step; with 16
// registers there is room for 4 x 2.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kProductRows = 8;
#else
inline constexpr int kProductRows = 4;
#endif

// The inner dimension must lie within one chunk of A. A separate function because, inlined into the
// loops of product(), GCC would keep the accumulators in memory.
template <int V, bool by_rows, bool accumulate, class E>
[[gnu::noinline]] void product_block(const CacheTile& c, const TileOf<E>& a, const TileOf<E>& b,
                                     int64_t row, int64_t column, int64_t inner,
                                     int64_t inner_end) {
  Vec acc[kProductRows][V] = {};
  if constexpr (accumulate) load_block(acc, c.at(row, column), kPitch);
  constexpr int kRow = by_rows ? kPitch : 1, kStepOfA = by_rows ? 1 : kPitch;
  const Lane<E>* from = by_rows ? a.at(row, inner) : a.at(inner, row);
  accumulate_block<kRow, kStepOfA>(acc, inner_end - inner, from, b.at(inner, column), kPitch);
  store_block(acc, c.at(row, column), kPitch);
}

// C (+)= A B (by_rows), or C (+)= A^T B: see cache_tile.h.
template <bool by_rows, bool accumulate, class E>
[[gnu::noinline]] void product(const CacheTile& c, const TileOf<E>& a, const TileOf<E>& b,
                               const ProductPart& part) {
  for (int64_t j = part.column; j < part.column_end; j += kPanel) {
    for (int64_t r = part.row; r < part.row + kStep; r += kProductRows) {
      if (j + kPanel <= part.column_end) {
        product_block<2, by_rows, accumulate>(c, a, b, r, j, part.inner, part.inner_end);
      } else {
        product_block<1, by_rows, accumulate>(c, a, b, r, j, part.inner, part.inner_end);
      }
    }
  }
}

// x in lanes `first` and beyond, `otherwise` in those before.
REMOE_INLINE Vec hide_before(int first, Vec x, float otherwise) {
  IVec lane;
  for (int i = 0; i < kLanes; ++i) lane[i] = i;
  return lane < first ? broadcast(otherwise) : x;
}

// The part of a block that the causal mask keeps. In a diagonal block, query i sees keys 0..i.
struct BlockMask {
  bool diagonal;
  static constexpr int query_end() { return kBlock; }
  // First query (a multiple of kStep) that sees any key of the step starting at `key`.
  int first_query(int key) const { return diagonal ? key / kStep * kStep : 0; }
  // Number of keys (a multiple of kStep) seen by any query of the step starting at `query`.
  int keys_of(int query) const { return diagonal ? query / kStep * kStep + kStep : kBlock; }
  // x in the lanes whose queries, starting at `query`, see `key`; `otherwise` elsewhere.
  REMOE_INLINE Vec select(int query, int key, Vec x, float otherwise) const {
    if (!diagonal) return x;
    return hide_before(key - query, x, otherwise);
  }
};

// The same where query 0 is at key `offset` of the block, and there are few queries: query i sees
// keys 0..offset + i, which may be none.
struct OffsetMask {
  int offset;
  int queries;  // a multiple of kStep
  int query_end() const { return queries; }
  int first_query(int key) const { return std::max(0, key - offset) / kStep * kStep; }
  int keys_of(int query) const {
    const int seen = offset + query / kStep * kStep + kStep;
    return std::clamp((seen + kStep - 1) / kStep * kStep, 0, kBlock);
  }
  REMOE_INLINE Vec select(int query, int key, Vec x, float otherwise) const {
    return hide_before(key - query - offset, x, otherwise);
  }
};

// Lanes of the head dimension handled per product: one chunk of a tile.
inline constexpr int64_t kDims = kChunk;

// scores [keys, queries] = K Q^T, where the mask keeps them: k [keys, lanes], qt [lanes, queries].
template <class E, class Mask>
void score_block(const CacheTile& scores, const TileOf<E>& k, const TileOf<E>& qt, int64_t head_dim,
                 Mask mask) {
  const int64_t lanes = lanes_of<E>(head_dim);
  for (int key = 0; key < kBlock; key += kStep) {
    const int64_t query = mask.first_query(key);
    const int end = mask.query_end();
    product<true, false>(scores, k, qt, {key, query, end, 0, std::min(lanes, kDims)});
    for (int64_t d = kDims; d < lanes; d += kDims) {
      product<true, true>(scores, k, qt, {key, query, end, d, std::min(lanes, d + kDims)});
    }
  }
}

// target [keys, dim] += X Y with X [keys, lanes of queries] (P^T or dS^T) and Y [lanes of queries,
// dim] (dO or Q).
template <class E>
void add_over_queries(const CacheTile& target, const TileOf<E>& x, const TileOf<E>& y,
                      int64_t head_dim, BlockMask mask) {
  for (int key = 0; key < kBlock; key += kStep) {
    product<true, true>(
        target, x, y,
        {key, 0, padded_dim(head_dim), mask.first_query(key) / kPerLane<E>, kBlock / kPerLane<E>});
  }
}

// target [queries, dim] += X^T Y with X [lanes of keys, queries] (P^T or dS^T) and Y [lanes of
// keys, dim] (V or K).
template <class E, class Mask>
void add_over_keys(const CacheTile& target, const TileOf<E>& x, const TileOf<E>& y,
                   int64_t head_dim, Mask mask) {
  for (int query = 0; query < mask.query_end(); query += kStep) {
    product<false, true>(target, x, y,
                         {query, 0, padded_dim(head_dim), 0, mask.keys_of(query) / kPerLane<E>});
  }
}

inline void clear(const CacheTile& tile, int64_t head_dim) {
  std::memset(tile.data, 0, sizeof(float) * CacheTile::floats(tile.rows, head_dim));
}

// The reverse: writes `count` rows of a tile, scaled by factor(row), to rows `stride` apart.
template <class T, class Factor>
void write_rows(T* target, int64_t stride, const CacheTile& tile, int64_t count, int64_t head_dim,
                Factor&& factor) {
  for (int64_t r = 0; r < count; ++r) {
    const float scale = factor(r);
    for (int64_t c = 0; c < head_dim; c += kLanes) {
      const Vec value = load(tile.at(r, c)) * scale;
      T* to = target + r * stride + c;
      if (c + kLanes <= head_dim) {
        store(to, value);
      } else {
        store_partial(to, value, head_dim - c);
      }
    }
  }
}

}  // namespace remoe::REMOE_TARGET
