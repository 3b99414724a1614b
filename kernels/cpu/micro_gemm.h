// The register tile of dense products, and the panels it reads.
//
// A tile is R rows by V vectors of C, held in registers while k runs: at each k it takes one row of
// V vectors of B and R elements of A, each broadcast. With both operands copied into panels (A: R
// rows adjacent for each k; B: V vectors adjacent for each k) every read is sequential, and the
// tile's loop is bound by multiply-adds: R*V of them against R + V loads.
//
// Tile size: as many accumulators as registers allow, next to V for B and one for A. AVX-512 has
// 32 registers: 14 x 2 = 28 accumulators. AVX2 and SSE have 16: 6 x 2 = 12. NEON has 32 of 4 lanes.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "vector_math.h"

namespace remoe::REMOE_TARGET {

#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kTileRows = 14;
#else
inline constexpr int kTileRows = 6;
#endif
inline constexpr int kTileVectors = 2;
inline constexpr int kTileColumns = kTileVectors * kLanes;

// How tile results enter C.
struct Epilogue {
  float alpha;
  float beta;  // 0: C is not read
};

// C[R, columns] = alpha * A * B + beta * C for one tile. `a` is a panel of R rows with `a_stride`
// elements between k (R in a panel of R rows), `b` a panel of kTileColumns columns.
template <int R>
[[gnu::noinline]] void multiply_tile(int64_t k, const float* __restrict a, int64_t a_stride,
                                     const float* __restrict b, Epilogue epilogue,
                                     float* __restrict c, int64_t ldc, int columns) {
  Vec acc[R][kTileVectors] = {};
  for (int64_t p = 0; p < k; ++p) {
    const Vec b0 = load(b), b1 = load(b + kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const Vec x = broadcast(a[r]);
      acc[r][0] += x * b0;
      acc[r][1] += x * b1;
    }
    a += a_stride;
    b += kTileColumns;
  }
  const Vec alpha = broadcast(epilogue.alpha), beta = broadcast(epilogue.beta);
  if (columns >= kTileColumns) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < kTileVectors; ++v) {
        float* target = c + r * ldc + v * kLanes;
        const Vec product = alpha * acc[r][v];
        store(target, epilogue.beta == 0 ? product : product + beta * load(target));
      }
    }
    return;
  }
  float tile[R][kTileColumns];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    store(tile[r], alpha * acc[r][0]);
    store(tile[r] + kLanes, alpha * acc[r][1]);
  }
  for (int r = 0; r < R; ++r) {
    for (int j = 0; j < columns; ++j) {
      float& target = c[r * ldc + j];
      target = epilogue.beta == 0 ? tile[r][j] : tile[r][j] + epilogue.beta * target;
    }
  }
}

using TileFunction = void (*)(int64_t, const float*, int64_t, const float*, Epilogue, float*,
                              int64_t, int);

namespace detail {
template <int... I>
constexpr auto tile_functions(std::integer_sequence<int, I...>) {
  return std::array<TileFunction, sizeof...(I)>{&multiply_tile<I + 1>...};
}
inline constexpr auto kTileFunctions =
    tile_functions(std::make_integer_sequence<int, kTileRows>{});
}  // namespace detail

// The tile function for `rows` in 1..kTileRows.
REMOE_INLINE TileFunction tile_function(int rows) { return detail::kTileFunctions[rows - 1]; }

// Rows of a panel so that `rows` rows split into even panels: 128 rows make ten panels of 13 (the
// last of 11) rather than nine of 14 and one of 2, whose few accumulators would leave multiply-adds
// waiting for each other.
REMOE_INLINE int panel_rows(int64_t rows) {
  const int64_t panels = (rows + kTileRows - 1) / kTileRows;
  return static_cast<int>((rows + panels - 1) / panels);
}

}  // namespace remoe::REMOE_TARGET
