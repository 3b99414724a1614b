// Scalars by the units for approximations: a few units of the last place, which rounding to bf16
// hides.
#pragma once

#include "device/gpu.h"

#ifndef __CUDACC__
#include <cmath>
#endif

namespace remoe {

#ifdef __CUDACC__

__device__ __forceinline__ float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float exp_fast(float x) { return __expf(x); }
__device__ __forceinline__ float root_fast(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float divide_fast(float a, float b) { return __fdividef(a, b); }

#else

__device__ __forceinline__ float exp2_fast(float x) { return std::exp2(x); }
__device__ __forceinline__ float exp_fast(float x) { return std::exp(x); }
__device__ __forceinline__ float root_fast(float x) { return std::sqrt(x); }
__device__ __forceinline__ float divide_fast(float a, float b) { return a / b; }

#endif

}  // namespace remoe
