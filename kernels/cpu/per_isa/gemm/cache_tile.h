// Matrices that live in a core's cache and are multiplied in place.
//
// A tile is row-major, cut into chunks of kChunk columns whose rows are kPitch floats apart. That
// pitch, a constant odd number of cache lines, keeps consecutive rows out of each other's cache
// sets (at a power of two, a dozen rows would fill them), and being constant lets a product
// broadcast from several rows at once. One copy of a tile thus serves X W, X^T Y and Y^T X alike,
// where a blocked GEMM packs each operand of each product into panels.
#pragma once

#include <algorithm>
#include <cstdint>

#include "per_isa/gemm/packing.h"
#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

inline constexpr int kChunk = 64;
inline constexpr int kPitch = kChunk + 16;

// Rows per block of a product by rows. With two vectors of columns, that makes 28 accumulators of
// the 32 registers of AVX-512 and NEON, or 12 of the 16 of AVX2 and SSE.
#if defined(__AVX512F__) || defined(__aarch64__)
inline constexpr int kBlockRows = 14;
#else
inline constexpr int kBlockRows = 6;
#endif

// Columns per block: two vectors.
inline constexpr int kPanel = 2 * kLanes;
static_assert(kChunk % kPanel == 0);

// [rows, columns] of lanes of E (simd/lane.h) in chunks. `rows` is at least the number of rows
// used, rounded up to kBlockRows if the tile is multiplied by rows, since blocks are computed
// whole.
template <class E>
struct TileOf {
  Lane<E>* data;
  int64_t rows;

  static int64_t floats(int64_t rows, int64_t columns) {
    return round_up(columns, kChunk) / kChunk * rows * kPitch;
  }
  int64_t chunk_floats() const { return rows * kPitch; }
  Lane<E>* at(int64_t row, int64_t column) const {
    return data + column / kChunk * chunk_floats() + row * kPitch + column % kChunk;
  }
};
using CacheTile = TileOf<float>;

// Copies `columns` elements, fp32 or bf16, from each row(r), r < count, into the tile, in lanes
// along the row, and zeroes the rest of the last panel and rows [count, rows).
template <class E, class Row>
void fill_tile(const TileOf<E>& tile, int64_t rows, int64_t count, int64_t columns, Row&& row) {
  constexpr int64_t kElements = kChunk * kPerLane<E>;
  for (int64_t c = 0; c < columns; c += kElements) {
    const int64_t length = std::min(kElements, columns - c);
    const int64_t padded = round_up(length, kPanel * kPerLane<E>);
    for (int64_t r = 0; r < rows; ++r) {
      Lane<E>* target = tile.at(r, c / kPerLane<E>);
      int64_t i = 0;
      if (r < count) {
        const auto* source = row(r) + c;
        for (; i + kPerVector<E> <= length; i += kPerVector<E>) {
          store(target + i / kPerLane<E>, load_lanes_of<E>(source + i));
        }
        if (i < length) {
          store(target + i / kPerLane<E>, load_lanes_of_partial<E>(source + i, length - i));
          i += kPerVector<E>;
        }
      }
      for (; i < padded; i += kPerVector<E>) store(target + i / kPerLane<E>, LaneVec<E>{});
    }
  }
}

// target[p * step + i] = lane p of row(i) for i < kLanes and the lanes of k elements, 0 for i >=
// count: one vector of columns of a transposed matrix.
template <class E, class Row>
void transpose_vector(Lane<E>* target, int64_t step, int64_t k, int64_t count, Row&& row) {
  for (int64_t p = 0; p < k; p += kPerVector<E>) {
    const int64_t length = std::min<int64_t>(kPerVector<E>, k - p);
    LaneVec<E> v[kLanes] = {};
    if (count >= kLanes && length == kPerVector<E>) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) v[i] = load_lanes_of<E>(row(i) + p);
    } else {
      const int64_t rows = std::min<int64_t>(count, kLanes);
      for (int64_t i = 0; i < rows; ++i) {
        v[i] = length == kPerVector<E> ? load_lanes_of<E>(row(i) + p)
                                       : load_lanes_of_partial<E>(row(i) + p, length);
      }
    }
    transpose(v);
    Lane<E>* to = target + p / kPerLane<E> * step;
    for (int64_t q = 0; q < lanes_of<E>(length); ++q) store(to + q * step, v[q]);
  }
}

}  // namespace remoe::REMOE_TARGET
