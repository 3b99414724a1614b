// bf16: the upper half of an fp32, and access to activations of either type.
#pragma once

#include "device/gpu.h"

namespace remoe {

struct Bf16 {
  uint16_t bits;
};

// What a pair of bf16 is in one register: the first in the lower half.
struct alignas(4) Bf16Pair {
  uint32_t bits;
};

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(Bf16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}
__device__ __forceinline__ float low_of(Bf16Pair x) { return __uint_as_float(x.bits << 16); }
__device__ __forceinline__ float high_of(Bf16Pair x) {
  return __uint_as_float(x.bits & 0xffff0000u);
}

// Rounds both to nearest, ties to even.
__device__ __forceinline__ Bf16Pair to_bf16_pair(float low, float high) {
#ifdef __CUDACC__
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
  return {bits};
#else
  const auto upper = [](float x) {
    // Adds just under half of the last bit kept, or exactly half if that bit is odd. NaN, which
    // would carry into infinity, is the one that the instruction gives.
    const uint32_t bits = __float_as_uint(x);
    return x != x ? 0x7fffu : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  };
  return {upper(low) | upper(high) << 16};
#endif
}

__device__ __forceinline__ Bf16 to_bf16(float x) {
  return {static_cast<uint16_t>(to_bf16_pair(x, 0.0f).bits)};
}

// `x` as an element of T.
template <class T>
__device__ __forceinline__ T to_element(float x) {
  if constexpr (sizeof(T) == sizeof(Bf16)) {
    return to_bf16(x);
  } else {
    return x;
  }
}

// What a value of T keeps of `x`: `x` itself in fp32.
template <class T>
__device__ __forceinline__ float rounded_to(float x) {
  return to_float(to_element<T>(x));
}

// kCount adjacent elements, read and written by one access of at most 16 bytes.
template <class T, int kCount>
struct alignas(kCount * sizeof(T)) Vector {
  static_assert(kCount * sizeof(T) <= 16);
  T element[kCount];
};

template <class T, int kCount>
__device__ __forceinline__ Vector<T, kCount> load_vector(const T* from) {
  return *reinterpret_cast<const Vector<T, kCount>*>(from);
}

template <class T, int kCount>
__device__ __forceinline__ void store_vector(T* to, const Vector<T, kCount>& vector) {
  *reinterpret_cast<Vector<T, kCount>*>(to) = vector;
}

}  // namespace remoe
