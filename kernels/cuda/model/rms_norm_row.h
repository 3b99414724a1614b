// A row of RMSNorm as a warp goes through it: each lane takes vectors of kWidth elements, 32 lanes
// apart. Rows of up to kSteps vectors a lane are held in registers, so that they are read once;
// kSteps = 0 reads longer ones again from the cache.
#pragma once

#include <type_traits>

#include "device/bf16.h"
#include "device/block_scan.h"
#include "runtime/operation.h"

namespace remoe {

constexpr int kNormThreads = 256;
constexpr int kNormWarps = kNormThreads / kWarp;

// Calls body(step, column) for each vector of the calling lane.
template <int kWidth, int kSteps, class Body>
__device__ __forceinline__ void for_each_vector(int columns, Body&& body) {
  constexpr int kStep = kWarp * kWidth;
  const int first = static_cast<int>(threadIdx.x) % kWarp * kWidth;
  if constexpr (kSteps > 0) {
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      if (first + i * kStep < columns) body(i, first + i * kStep);
    }
  } else {
#pragma unroll 2
    for (int column = first; column < columns; column += kStep) body(0, column);
  }
}

template <class T, int kWidth, int kSteps>
class NormRow {
 public:
  __device__ __forceinline__ NormRow(const T* row, int columns) : row_(row) {
    if constexpr (kSteps > 0) {
      for_each_vector<kWidth, kSteps>(
          columns, [&](int i, int column) { held_[i] = load_vector<T, kWidth>(row + column); });
    }
  }
  __device__ __forceinline__ Vector<T, kWidth> operator()(int step, int column) const {
    if constexpr (kSteps > 0) return held_[step];
    return load_vector<T, kWidth>(row_ + column);
  }

 private:
  const T* row_;
  Vector<T, kWidth> held_[kSteps > 0 ? kSteps : 1];
};

// kWidth adjacent floats, by accesses of 16 bytes where there are that many.
template <int kWidth>
struct Floats {
  static constexpr int kPart = kWidth < 4 ? kWidth : 4;
  Vector<float, kPart> part[kWidth / kPart];

  __device__ __forceinline__ void load(const float* from) {
#pragma unroll
    for (int i = 0; i < kWidth / kPart; i++) part[i] = load_vector<float, kPart>(from + i * kPart);
  }
  __device__ __forceinline__ void store(float* to) const {
#pragma unroll
    for (int i = 0; i < kWidth / kPart; i++) store_vector(to + i * kPart, part[i]);
  }
  __device__ __forceinline__ float& operator[](int k) { return part[k / kPart].element[k % kPart]; }
};

// The longest rows held in registers: a bf16 row takes half as many.
template <class T>
constexpr int kLongestHeld = sizeof(T) == 2 ? 2048 : 1536;

// Calls body(width, steps), both integral constants, for rows of `columns` elements. `addresses`:
// the bits of all addresses that would be accessed by vectors.
template <class T, class Body>
void with_norm_row(int columns, uint64_t addresses, Body&& body) {
  constexpr int kWidth = 16 / sizeof(T);
  constexpr int kStep = kWarp * kWidth;
  using Width = std::integral_constant<int, kWidth>;
  const auto held = [&](auto longest) {
    body(Width{}, std::integral_constant<int, decltype(longest)::value / kStep>{});
  };
  if (columns % kWidth != 0 || addresses % 16 != 0) {
    body(std::integral_constant<int, 1>{}, std::integral_constant<int, 0>{});
  } else if (columns > kLongestHeld<T>) {
    body(Width{}, std::integral_constant<int, 0>{});
  } else if (columns <= 256) {
    held(std::integral_constant<int, 256>{});
  } else if (columns <= 768) {
    held(std::integral_constant<int, 768>{});
  } else if (columns <= 1024) {
    held(std::integral_constant<int, 1024>{});
  } else if (columns <= 1536) {
    held(std::integral_constant<int, 1536>{});
  } else {
    held(std::integral_constant<int, kLongestHeld<T>>{});
  }
}

}  // namespace remoe
