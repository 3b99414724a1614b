// Products of tiles in cache, a block of the result in registers at a time.
//
// At each step of the inner dimension a block takes two adjacent vectors of B, and R elements of A,
// each broadcast: 2 R multiply-adds against R + 2 loads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cache_tile.h"
#include "vector_math.h"

namespace remoe::REMOE_TARGET {

// A block of a product: kBlockRows rows of kPanel floats.
struct alignas(64) RegisterBlock {
  float values[kBlockRows * kPanel];
  const float* row(int r) const { return values + r * kPanel; }
};

template <int R, int V>
REMOE_INLINE void load_block(Vec (&acc)[R][V], const float* c, int64_t stride) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[r][v] = load(c + r * stride + v * kLanes);
  }
}

template <int R, int V>
REMOE_INLINE void store_block(const Vec (&acc)[R][V], float* c, int64_t stride) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) store(c + r * stride + v * kLanes, acc[r][v]);
  }
}

// acc[r] += sum over p < k of a[r * kRow + p * kStep] * b[p * b_step ..].
template <int kRow, int kStep, int R, int V>
REMOE_INLINE void accumulate_block(Vec (&acc)[R][V], int64_t k, const float* a, const float* b,
                                   int64_t b_step) {
  for (int64_t p = 0; p < k; ++p) {
    Vec y[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) y[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = broadcast(a[r * kRow]);
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) acc[r][v] += x * y[v];
    }
    a += kStep;
    b += b_step;
  }
}

// block (+)= rows [row, row + kBlockRows) and columns [0, k) of a tile, times a panel of
// weight_panels.h.
template <bool accumulate>
[[gnu::noinline]] void multiply_block(RegisterBlock& block, const CacheTile& a, int64_t row,
                                      int64_t k, const float* panel) {
  Vec acc[kBlockRows][2] = {};
  if constexpr (accumulate) load_block(acc, block.values, kPanel);
  const float* chunk = a.at(row, 0);
  for (int64_t p = 0; p < k; p += kChunk) {
    const int64_t length = std::min<int64_t>(kChunk, k - p);
    accumulate_block<kPitch, 1>(acc, length, chunk, panel, kPanel);
    chunk += a.chunk_floats();
    panel += length * kPanel;
  }
  store_block(acc, block.values, kPanel);
}

// One block of C += A^T B: A's elements of one row are adjacent, its rows and B's are kPitch apart.
template <int R>
[[gnu::noinline]] void add_transposed_block(float* c, const float* a, const float* b, int64_t k) {
  Vec acc[R][2];
  load_block(acc, c, kPitch);
  accumulate_block<1, kPitch>(acc, k, a, b, kPitch);
  store_block(acc, c, kPitch);
}

// C [columns, width] += A^T B over their first k rows: `columns` columns of A, `width` of B.
inline void add_transposed_product(const CacheTile& c, const CacheTile& a, int64_t columns,
                                   const CacheTile& b, int64_t width, int64_t k) {
  // Blocks do not cross a chunk of A: 64 = 4 * 13 + 12 = 10 * 6 + 4.
  constexpr int kRows = kBlockRows > 13 ? 13 : kBlockRows;
  constexpr int kLastRows = kChunk % kRows;
  for (int64_t j = 0; j < width; j += kPanel) {
    for (int64_t i = 0; i < columns; i += kChunk) {
      const int64_t end = std::min(columns, i + kChunk);
      for (int64_t r = i; r < end; r += kRows) {
        if (r + kRows <= i + kChunk) {
          add_transposed_block<kRows>(c.at(r, j), a.at(0, r), b.at(0, j), k);
        } else {
          add_transposed_block<kLastRows>(c.at(r, j), a.at(0, r), b.at(0, j), k);
        }
      }
    }
  }
}

// The first `rows` rows and `columns` columns of a block to (or onto) memory.
inline void write_block(const RegisterBlock& block, int rows, int64_t columns, float* target,
                        int64_t stride, bool accumulate) {
  for (int r = 0; r < rows; ++r) {
    float* row = target + r * stride;
    for (int v = 0; v < 2; ++v) {
      const Vec value = load(block.row(r) + v * kLanes);
      const int64_t left = columns - v * kLanes;
      float* at = row + v * kLanes;
      if (left >= kLanes) {
        store(at, accumulate ? load(at) + value : value);
      } else if (left > 0) {
        store_partial(at, accumulate ? load_partial(at, left) + value : value, left);
      }
    }
  }
}

}  // namespace remoe::REMOE_TARGET
