// A row's logits, some of which a warp holds at a time, to read them once for maximum and sum.
#pragma once

#include <cmath>
#include <cstdint>

#include "device/block_reduce.h"
#include "device/floats.h"

namespace remoe {

// Adjacent logits of a lane, such groups of a lane, and the logits of a warp.
constexpr int kWidth = 4;
constexpr int kSteps = 8;
constexpr int kPiece = kWarp * kWidth * kSteps;

// Elements of a chunk of logits: 64 MiB, most of which stays in the L2 cache of a large device.
constexpr int64_t kChunkElements = int64_t{16} << 20;

// The logits of a lane; beyond the chunk they are -infinity.
struct HeldLogits {
  float z[kSteps][kWidth];

  template <bool kWide>
  __device__ __forceinline__ void load(const float* row, int first, int columns) {
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int column = first + i * kWarp * kWidth;
      if (kWide && column + kWidth <= columns) {
        load_floats(row + column, z[i]);
        continue;
      }
#pragma unroll
      for (int k = 0; k < kWidth; k++) {
        z[i][k] = column + k < columns ? row[column + k] : -INFINITY;
      }
    }
  }

  template <bool kWide, class T>
  __device__ __forceinline__ void store(T* row, int first, int columns) const {
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const int column = first + i * kWarp * kWidth;
      if (kWide && column + kWidth <= columns) {
        store_floats(row + column, z[i]);
        continue;
      }
#pragma unroll
      for (int k = 0; k < kWidth; k++) {
        if (column + k < columns) row[column + k] = to_element<T>(z[i][k]);
      }
    }
  }

  __device__ __forceinline__ float maximum() const {
    float largest = -INFINITY;
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
#pragma unroll
      for (int k = 0; k < kWidth; k++) largest = fmaxf(largest, z[i][k]);
    }
    return largest;
  }

  __device__ __forceinline__ float sum_of_exponentials(float shift) const {
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
#pragma unroll
      for (int k = 0; k < kWidth; k++) sum += expf(z[i][k] - shift);
    }
    return sum;
  }

  // The first column that holds `value`, or the largest int.
  __device__ __forceinline__ int first_of(float value, int first) const {
    int column = 0x7fffffff;
#pragma unroll
    for (int i = kSteps - 1; i >= 0; i--) {
#pragma unroll
      for (int k = kWidth - 1; k >= 0; k--) {
        if (z[i][k] == value) column = first + i * kWarp * kWidth + k;
      }
    }
    return column;
  }
};

}  // namespace remoe
