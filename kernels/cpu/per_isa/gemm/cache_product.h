// Products of tiles in cache, with one block of the result in registers at a time.
//
// Each step of the inner dimension takes two adjacent vectors of B and R elements of A, each
// broadcast: 2 R multiply-adds for R + 2 loads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "per_isa/gemm/cache_tile.h"
#include "per_isa/simd/inner_steps.h"
#include "per_isa/simd/vector_math.h"

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
template <int kRow, int kStep, class L, int R, int V>
REMOE_INLINE void accumulate_block(Vec (&acc)[R][V], int64_t k, const L* a, const L* b,
                                   int64_t b_step) {
  int64_t p = 0;
  for (; p + kUnroll <= k; p += kUnroll) {
#pragma GCC unroll 4
    for (int i = 0; i < kUnroll; ++i) {
      multiply_step(acc, b + i * b_step, [&](int r) { return a[i * kStep + r * kRow]; });
    }
    a += kUnroll * kStep;
    b += kUnroll * b_step;
  }
  for (; p < k; ++p, a += kStep, b += b_step) {
    multiply_step(acc, b, [&](int r) { return a[r * kRow]; });
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

// A row-major matrix that products are written or added to.
struct Target {
  float* data;
  int64_t stride;
  bool accumulate;
  Target from(int64_t row, int64_t column) const {
    return {data + row * stride + column, stride, accumulate};
  }
};

// Writes the first `rows` rows and `columns` columns of a block to memory.
inline void write_block(const RegisterBlock& block, int64_t rows, int64_t columns,
                        const Target& target) {
  for (int r = 0; r < rows; ++r) {
    float* row = target.data + r * target.stride;
    for (int v = 0; v < 2; ++v) {
      const Vec value = load(block.row(r) + v * kLanes);
      const int64_t left = columns - v * kLanes;
      float* at = row + v * kLanes;
      if (left >= kLanes) {
        store(at, target.accumulate ? load(at) + value : value);
      } else if (left > 0) {
        store_partial(at, target.accumulate ? load_partial(at, left) + value : value, left);
      }
    }
  }
}

// One block of A^T B, R rows by kPanel columns. A's elements of one row are adjacent; its rows and
// B's are kPitch apart.
template <int R>
[[gnu::noinline]] void transposed_block(const Target& c, const float* a, const float* b,
                                        int64_t k) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) __builtin_prefetch(c.data + r * c.stride, 1);
  Vec acc[R][2] = {};
  accumulate_block<1, kPitch>(acc, k, a, b, kPitch);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      float* at = c.data + r * c.stride + v * kLanes;
      store(at, c.accumulate ? load(at) + acc[r][v] : acc[r][v]);
    }
  }
}

// C [columns, width] = A^T B, or C += A^T B, over their first k rows: `columns` columns of A,
// `width` of B.
inline void transposed_product(const Target& c, const CacheTile& a, int64_t columns,
                               const CacheTile& b, int64_t width, int64_t k) {
  // Blocks do not cross a chunk of A: 64 = 4 * 13 + 12 = 10 * 6 + 4.
  constexpr int kRows = kBlockRows > 13 ? 13 : kBlockRows;
  constexpr int kLastRows = kChunk % kRows;
  // A chunk of A stays in L2 while the panels of B pass through L1.
  for (int64_t i = 0; i < columns; i += kChunk) {
    const int64_t end = std::min(columns, i + kChunk);
    for (int64_t j = 0; j < width; j += kPanel) {
      for (int64_t r = i; r < end; r += kRows) {
        const float *of_a = a.at(0, r), *of_b = b.at(0, j);
        const int64_t rows =
            std::min<int64_t>(r + kRows <= i + kChunk ? kRows : kLastRows, end - r);
        if (j + kPanel > width || (rows != kRows && rows != kLastRows)) {
          RegisterBlock block;
          transposed_block<kRows>({block.values, kPanel, false}, of_a, of_b, k);
          write_block(block, rows, width - j, c.from(r, j));
        } else if (rows == kRows) {
          transposed_block<kRows>(c.from(r, j), of_a, of_b, k);
        } else {
          transposed_block<kLastRows>(c.from(r, j), of_a, of_b, k);
        }
      }
    }
  }
}

}  // namespace remoe::REMOE_TARGET
