// The register tile of dense products.
//
// A tile is R rows by kTileVectors vectors of C, held in registers across the loop over k. Each lane
// of the inner dimension (an fp32 or two bf16, see lane.h) takes one row of B's panel and R lanes of
// A, each broadcast, and is bound by multiply-adds: R * V of them for R + V loads. B is packed into
// panels of kTileColumns columns. A is read in place or from panels of R rows (lanes of one k
// adjacent), whichever the caller finds cheaper. In this file, k and the strides of A count lanes.
//
// Tile size: as many accumulators as fit into the registers beside V for B and one for A. AVX-512
// has 32 registers: 14 x 2 = 28 accumulators. AVX2 and SSE have 16: 6 x 2 = 12. NEON has 32 of 4
// lanes.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "per_isa/simd/inner_steps.h"
#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kTileRows = 14;
#else
inline constexpr int kTileRows = 6;
#endif
inline constexpr int kTileVectors = 2;
inline constexpr int kTileColumns = kTileVectors * kLanes;

// Lanes between two k in a panel of A: whole vectors, so that panels are written with aligned
// stores (at 14, almost every vector store would cross a cache line).
inline constexpr int kPanelStride = (kTileRows + kLanes - 1) / kLanes * kLanes;

// How tile results enter C.
struct Epilogue {
  float alpha;
  float beta;  // 0: C is not read
};

// C is fp32, or bf16, to which results are rounded.
template <int R, class C>
REMOE_INLINE void store_tile(const Vec (&acc)[R][kTileVectors], Epilogue epilogue, C* c,
                             int64_t ldc, int columns) {
  const Vec alpha = broadcast(epilogue.alpha), beta = broadcast(epilogue.beta);
  if (columns >= kTileColumns) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
      for (int v = 0; v < kTileVectors; ++v) {
        C* target = c + r * ldc + v * kLanes;
        const Vec product = alpha * acc[r][v];
        store(target, epilogue.beta == 0 ? product : product + beta * load(target));
      }
    }
    return;
  }
  float tile[R][kTileColumns];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kTileVectors; ++v) store(tile[r] + v * kLanes, alpha * acc[r][v]);
  }
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < columns; ++j) {
      C& target = c[r * ldc + j];
      const float product = tile[r][j];
      target =
          rounded<C>(epilogue.beta == 0 ? product : product + epilogue.beta * widened(target));
    }
  }
}

// Prefetches the lines of a tile of C before the loop over k: they come from L3 or memory, and the
// tile's epilogue would stall on each row. Two addresses per row, since rows need not start at a
// cache line.
template <int R, class C>
REMOE_INLINE void prefetch_tile(const C* c, int64_t ldc, int columns) {
  const int last = columns < kTileColumns ? columns - 1 : kTileColumns - 1;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    __builtin_prefetch(c + r * ldc, 1);
    __builtin_prefetch(c + r * ldc + last, 1);
  }
}

// C[R, columns] = alpha * A * B + beta * C. Lane (r, p) of A is a[r + p * stride]; kStride is the
// stride if known at compile time, else 0.
template <class L, class C, int R, int kStride>
[[gnu::noinline]] void multiply_panel(int64_t k, const L* __restrict a, int64_t stride,
                                      const L* /*next*/, const L* __restrict b, Epilogue epilogue,
                                      C* __restrict c, int64_t ldc, int columns) {
  if constexpr (kStride != 0) stride = kStride;
  prefetch_tile<R>(c, ldc, columns);
  Vec acc[R][kTileVectors] = {};
  int64_t p = 0;
  for (; p + kUnroll <= k; p += kUnroll) {
#pragma GCC unroll 4
    for (int i = 0; i < kUnroll; ++i) {
      multiply_step(acc, b + i * kTileColumns, [&](int r) { return a[r + i * stride]; });
    }
    a += kUnroll * stride;
    b += kUnroll * kTileColumns;
  }
  for (; p < k; ++p, a += stride, b += kTileColumns) {
    multiply_step(acc, b, [&](int r) { return a[r]; });
  }
  store_tile(acc, epilogue, c, ldc, columns);
}

// The same with lane (r, p) of A at a[r * stride + p]: rows as stored. Every third row has its own
// pointer, so that x86 addressing (base plus 0, 1 or 2 strides) reaches all rows and the pointers
// fit into registers. The hardware does not prefetch this many short streams. If `next`, the first
// of the upcoming rows, is given, their lines are prefetched here.
template <class L, class C, int R>
[[gnu::noinline]] void multiply_rows(int64_t k, const L* __restrict a, int64_t stride,
                                     const L* next, const L* __restrict b, Epilogue epilogue,
                                     C* __restrict c, int64_t ldc, int columns) {
  constexpr int kBases = (R + 2) / 3;
  constexpr int64_t kLine = 16;
  const L* base[kBases];
  for (int i = 0; i < kBases; ++i) base[i] = a + 3 * i * stride;
  prefetch_tile<R>(c, ldc, columns);
  Vec acc[R][kTileVectors] = {};
  // Four lines per row between runs of 64 k, since the end of each run costs a mispredicted branch.
  const int64_t run = next != nullptr ? 4 * kLine : k;
  for (int64_t begin = 0; begin < k; begin += run) {
    const int64_t end = begin + run < k ? begin + run : k;
    if (next != nullptr) {
      for (int64_t at = begin; at < end; at += kLine) {
        for (int r = 0; r < R; ++r) __builtin_prefetch(next + r * stride + at);
      }
    }
    int64_t p = begin;
    for (; p + kUnroll <= end; p += kUnroll) {
#pragma GCC unroll 4
      for (int i = 0; i < kUnroll; ++i) {
        multiply_step(acc, b + i * kTileColumns,
                      [&](int r) { return base[r / 3][r % 3 * stride + i]; });
      }
#pragma GCC unroll 5
      for (int i = 0; i < kBases; ++i) base[i] += kUnroll;
      b += kUnroll * kTileColumns;
    }
    for (; p < end; ++p, b += kTileColumns) {
      multiply_step(acc, b, [&](int r) { return base[r / 3][r % 3 * stride]; });
#pragma GCC unroll 5
      for (int i = 0; i < kBases; ++i) ++base[i];
    }
  }
  store_tile(acc, epilogue, c, ldc, columns);
}

template <class L, class C>
using TileFunction = void (*)(int64_t, const L*, int64_t, const L*, const L*, Epilogue, C*, int64_t,
                              int);

namespace detail {
template <class L, class C>
using TileFunctions = std::array<TileFunction<L, C>, kTileRows>;
template <class L, class C, int kStride, int... I>
constexpr TileFunctions<L, C> panel_functions(std::integer_sequence<int, I...>) {
  return {&multiply_panel<L, C, I + 1, kStride>...};
}
template <class L, class C, int... I>
constexpr TileFunctions<L, C> row_functions(std::integer_sequence<int, I...>) {
  return {&multiply_rows<L, C, I + 1>...};
}
inline constexpr auto kEveryRow = std::make_integer_sequence<int, kTileRows>{};
template <class L, class C>
inline constexpr TileFunctions<L, C> kPanelFunctions = panel_functions<L, C, kPanelStride>(kEveryRow);
template <class L, class C>
inline constexpr TileFunctions<L, C> kTransposedFunctions = panel_functions<L, C, 0>(kEveryRow);
template <class L, class C>
inline constexpr TileFunctions<L, C> kRowFunctions = row_functions<L, C>(kEveryRow);
}  // namespace detail

// How a tile reads A: by rows as stored (multiply_rows), across rows, or from panels of
// kPanelStride (both multiply_panel). Only fp32 is read across rows: a lane of bf16 would be in two.
enum class ReadA { kRows, kTransposed, kPanels };

// The tile function for `rows` in 1..kTileRows.
template <class L, class C>
REMOE_INLINE TileFunction<L, C> tile_function(int rows, ReadA read) {
  if (read == ReadA::kRows) return detail::kRowFunctions<L, C>[rows - 1];
  if constexpr (std::is_same_v<L, float>) {
    if (read == ReadA::kTransposed) return detail::kTransposedFunctions<L, C>[rows - 1];
  }
  return detail::kPanelFunctions<L, C>[rows - 1];
}

// Rows are split into panels as evenly as possible: 171 rows make two panels of 14 and eleven of 13
// rather than twelve of 14 and one of 3, whose few accumulators would leave multiply-adds waiting
// on each other.
REMOE_INLINE int panels_of(int rows) { return (rows + kTileRows - 1) / kTileRows; }
REMOE_INLINE int panel_begin(int rows, int panels, int panel) {
  return static_cast<int>(static_cast<int64_t>(rows) * panel / panels);
}

}  // namespace remoe::REMOE_TARGET
