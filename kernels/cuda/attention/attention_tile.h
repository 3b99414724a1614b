// Tiles of attention in shared memory and their products, on the ordinary fp32 units: for every
// type, head size and architecture.
//
// Every product is a 64 x 64 block of C += A^T B, with A [inner, 64] and B [inner, 64] in shared
// memory and 64 of the inner dimension at a time. A thread holds 4 x 4 elements of C and reads four
// adjacent elements of each operand per inner step. Rows (or columns) of a head are 64 at a time as
// well, so that shared memory does not grow with the head.
#pragma once

#include <cmath>

#include "attention/attention_arguments.h"
#include "device/block_scan.h"

namespace remoe {

constexpr int kTile = 64;
constexpr int kTileThreads = 256;
constexpr int kSide = 4;                   // elements of C per thread in each direction
constexpr int kColumns = kTile / kSide;    // threads along a row of C
constexpr int kTilePitch = kTile + kSide;  // keeps rows aligned, and spreads columns over banks

struct alignas(16) AttentionTile {
  float at[kTile][kTilePitch];
};

using TileSum = float[kSide][kSide];

// This thread's rows and columns of C.
struct TilePlace {
  int row = static_cast<int>(threadIdx.x) / kColumns * kSide;
  int column = static_cast<int>(threadIdx.x) % kColumns * kSide;
};

// Rows [first, first + kTile) of one head, of which those from `count` on are beyond the sequence.
template <class T>
struct HeadRows {
  const T* data;  // of row `first`
  size_t stride;
  int count;
  int head_dim;
  bool wide;

  // Four elements of a row from `column` on; 0 beyond the rows or the head.
  __device__ __forceinline__ float4 load(int row, int column) const {
    if (row >= count || column >= head_dim) return {0.0f, 0.0f, 0.0f, 0.0f};
    const T* from = data + static_cast<size_t>(row) * stride + column;
    if (wide) {
      const Vector<T, 4> v = load_vector<T, 4>(from);
      return {to_float(v.element[0]), to_float(v.element[1]), to_float(v.element[2]),
              to_float(v.element[3])};
    }
    const auto element = [&](int i) { return column + i < head_dim ? to_float(from[i]) : 0.0f; };
    return {element(0), element(1), element(2), element(3)};
  }
};

// Tile `tile` of a head's rows; `stride` elements lie between rows.
template <class T>
__device__ __forceinline__ HeadRows<T> rows_of(const T* data, const AttentionSizes& sizes,
                                               size_t stride, int batch, int tile, int head,
                                               bool wide) {
  const int first = tile * kTile;
  const int left = sizes.sequence - first;
  const size_t row = static_cast<size_t>(batch) * sizes.sequence + first;
  return {data + row * stride + static_cast<size_t>(head) * sizes.head_dim, stride,
          left < kTile ? left : kTile, sizes.head_dim, wide};
}

__device__ __forceinline__ float4 load_four(const float* from) {
  return *reinterpret_cast<const float4*>(from);
}
__device__ __forceinline__ void store_four(float* to, float4 value) {
  *reinterpret_cast<float4*>(to) = value;
}

// tile[row][column] = rows[row][first + column]
template <class T>
__device__ __forceinline__ void load_rows(AttentionTile& tile, const HeadRows<T>& rows, int first) {
  const TilePlace own;
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    const int row = own.row / kSide + i * kColumns;
    store_four(&tile.at[row][own.column], rows.load(row, first + own.column));
  }
}

// tile[column][row] = rows[row][first + column] * scale. Lanes take 16 rows by two vectors, whose
// elements then lie in different banks.
template <class T>
__device__ __forceinline__ void load_columns(AttentionTile& tile, const HeadRows<T>& rows,
                                             int first, float scale) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    const int row = thread % 16 + i * 16;
    const int column = thread / 16 * kSide;
    const float4 v = rows.load(row, first + column);
    tile.at[column][row] = v.x * scale;
    tile.at[column + 1][row] = v.y * scale;
    tile.at[column + 2][row] = v.z * scale;
    tile.at[column + 3][row] = v.w * scale;
  }
}

// tile[row][column] = c
__device__ __forceinline__ void store_rows(AttentionTile& tile, const TileSum& c) {
  const TilePlace own;
#pragma unroll
  for (int i = 0; i < kSide; i++) {
    store_four(&tile.at[own.row + i][own.column], {c[i][0], c[i][1], c[i][2], c[i][3]});
  }
}

// tile[column][row] = c
__device__ __forceinline__ void store_columns(AttentionTile& tile, const TileSum& c) {
  const TilePlace own;
#pragma unroll
  for (int j = 0; j < kSide; j++) {
    store_four(&tile.at[own.column + j][own.row], {c[0][j], c[1][j], c[2][j], c[3][j]});
  }
}

// c += A^T B over the first `inner` rows of both.
__device__ __forceinline__ void add_product(TileSum& c, const AttentionTile& a,
                                            const AttentionTile& b, int inner) {
  const TilePlace own;
#pragma unroll 4
  for (int k = 0; k < inner; k++) {
    const float4 x = load_four(&a.at[k][own.row]);
    const float4 y = load_four(&b.at[k][own.column]);
    const float left[kSide] = {x.x, x.y, x.z, x.w};
    const float right[kSide] = {y.x, y.y, y.z, y.w};
#pragma unroll
    for (int i = 0; i < kSide; i++) {
#pragma unroll
      for (int j = 0; j < kSide; j++) c[i][j] += left[i] * right[j];
    }
  }
}

// c += X Y^T of two runs of rows over the whole head. Leaves both tiles free to be written.
template <class T>
__device__ __forceinline__ void add_scores(TileSum& c, AttentionTile& a, AttentionTile& b,
                                           const HeadRows<T>& x, float scale,
                                           const HeadRows<T>& y) {
#pragma unroll 1
  for (int first = 0; first < x.head_dim; first += kTile) {
    load_columns(a, x, first, scale);
    load_columns(b, y, first, 1.0f);
    __syncthreads();
    add_product(c, a, b, x.head_dim - first < kTile ? x.head_dim - first : kTile);
    __syncthreads();
  }
}

// sums += weights^T Y over the whole head, `weights` [rows of Y, 64] in shared memory. Leaves `b`
// free to be written, and `weights` too.
template <int kChunks, class T>
__device__ __forceinline__ void add_weighted(TileSum (&sums)[kChunks], const AttentionTile& weights,
                                             AttentionTile& b, const HeadRows<T>& y) {
#pragma unroll
  for (int chunk = 0; chunk < kChunks; chunk++) {
    if (chunk * kTile >= y.head_dim) break;
    load_rows(b, y, chunk * kTile);
    __syncthreads();
    add_product(sums[chunk], weights, b, kTile);
    __syncthreads();
  }
}

// In a diagonal tile, query i sees keys 0..i.
__device__ __forceinline__ void hide_later_keys(TileSum& scores) {
  const TilePlace own;
#pragma unroll
  for (int i = 0; i < kSide; i++) {
#pragma unroll
    for (int j = 0; j < kSide; j++) {
      if (own.column + j > own.row + i) scores[i][j] = -INFINITY;
    }
  }
}

// Writes four columns of a row, each times `scale`, as far as they lie in the head.
template <class T>
__device__ __forceinline__ void write_four(T* to, const float (&value)[kSide], float scale,
                                           int column, int head_dim, bool wide) {
  if (wide) {
    if (column >= head_dim) return;
    Vector<T, 4> v;
#pragma unroll
    for (int j = 0; j < kSide; j++) v.element[j] = to_element<T>(value[j] * scale);
    store_vector(to + column, v);
    return;
  }
#pragma unroll
  for (int j = 0; j < kSide; j++) {
    if (column + j < head_dim) to[column + j] = to_element<T>(value[j] * scale);
  }
}

// Runs body with the number of chunks of 64 that hold a head, as a constant.
template <class Body>
void with_chunks(int head_dim, Body&& body) {
  if (head_dim <= kTile) {
    body(std::integral_constant<int, 1>{});
  } else if (head_dim <= 2 * kTile) {
    body(std::integral_constant<int, 2>{});
  } else {
    body(std::integral_constant<int, 4>{});
  }
}

// One block of threads per tile of 64 rows of every head; the kernels take them from the last tile
// to the first where those have the most work.
inline dim3 tile_grid(const AttentionSizes& sizes, int heads) {
  const uint64_t tiles = (static_cast<uint64_t>(sizes.sequence) + kTile - 1) / kTile;
  const uint64_t blocks = tiles * static_cast<uint64_t>(heads) * static_cast<uint64_t>(sizes.batch);
  require(blocks <= 0x7fffffffu, "%llu tiles of attention are more than a grid has blocks",
          static_cast<unsigned long long>(blocks));
  return dim3(static_cast<unsigned>(blocks));
}

}  // namespace remoe
