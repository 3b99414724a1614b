// Where the elements of a product's operands come from.
#pragma once

#include "device/bf16.h"
#include "gemm/tile_shape.h"

namespace remoe {

// kCount adjacent elements of a row that has `size` of them, from a multiple of kCount on; zeros
// beyond. `wide`: the row starts at a multiple of kCount elements.
template <int kCount, class T>
__device__ __forceinline__ void load_run(T (&to)[kCount], const T* row, int first, int size,
                                         bool wide) {
  if (wide && first + kCount <= size) {
    const auto run = load_vector<T, kCount>(row + first);
#pragma unroll
    for (int i = 0; i < kCount; i++) to[i] = run.element[i];
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i++) to[i] = first + i < size ? row[first + i] : T{};
  }
}

// Whether all rows of a matrix start at multiples of kCount elements.
template <int kCount = kFour, class T>
inline __host__ __device__ bool has_wide_rows(const T* data, size_t stride) {
  return stride % kCount == 0 && reinterpret_cast<uintptr_t>(data) % (kCount * sizeof(T)) == 0;
}

// An operand's elements in a tile's rows (of A) or columns (of B) i and depth d, counted from the
// tile's corner. kAlongDepth: those of one i are adjacent in memory, else those of one d. Stored
// rows may be gathered: with `rows`, the stored row of i (or d) is rows[i] (or rows[d]).
template <class T, bool kAlongDepth_>
struct MatrixTile {
  using Element = T;
  static constexpr bool kAlongDepth = kAlongDepth_;

  const T* data;
  size_t stride;        // elements between stored rows
  const int32_t* rows;  // nullptr: as stored
  int extent;           // of i
  int depth;            // of d
  bool wide;            // has_wide_rows() for the runs that are loaded

  __device__ __forceinline__ size_t start(int row) const {
    return (rows == nullptr ? row : rows[row]) * stride;
  }
  // Along the depth: where the elements of i start.
  __device__ __forceinline__ size_t start_of(int i) const { return i < extent ? start(i) : 0; }
  template <int kCount>
  __device__ __forceinline__ void load(T (&to)[kCount], size_t start_of_i, int i, int d) const {
    load_run(to, data + start_of_i, d, i < extent ? depth : 0, wide);
  }
  // Along i.
  template <int kCount>
  __device__ __forceinline__ void load(T (&to)[kCount], int i, int d) const {
    const bool inside = d < depth;
    load_run(to, data + (inside ? start(d) : 0), i, inside ? extent : 0, wide);
  }
};

}  // namespace remoe
