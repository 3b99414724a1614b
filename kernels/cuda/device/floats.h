// Runs of activations of either type, as fp32 in registers.
#pragma once

#include "device/bf16.h"

namespace remoe {

// Reads kCount adjacent elements by one access.
template <int kCount, class T>
__device__ __forceinline__ void load_floats(const T* from, float (&to)[kCount]) {
  const Vector<T, kCount> vector = load_vector<T, kCount>(from);
#pragma unroll
  for (int k = 0; k < kCount; k++) to[k] = to_float(vector.element[k]);
}

// Rounds kCount adjacent elements and writes them by one access.
template <int kCount, class T>
__device__ __forceinline__ void store_floats(T* to, const float (&from)[kCount]) {
  if constexpr (sizeof(T) == sizeof(Bf16) && kCount % 2 == 0) {
    Vector<Bf16Pair, kCount / 2> pairs;
#pragma unroll
    for (int k = 0; k < kCount / 2; k++) {
      pairs.element[k] = to_bf16_pair(from[2 * k], from[2 * k + 1]);
    }
    store_vector(reinterpret_cast<Bf16Pair*>(to), pairs);
  } else {
    Vector<T, kCount> vector;
#pragma unroll
    for (int k = 0; k < kCount; k++) vector.element[k] = to_element<T>(from[k]);
    store_vector(to, vector);
  }
}

}  // namespace remoe
