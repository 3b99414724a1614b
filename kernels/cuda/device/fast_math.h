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
__device__ __forceinline__ float log_fast(float x) { return __logf(x); }
__device__ __forceinline__ float root_fast(float x) {
  float y;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float divide_fast(float a, float b) { return __fdividef(a, b); }
// Through the read-only path, so that the compiler may move it before stores.
__device__ __forceinline__ uint4 load_16(const void* p) {
  return __ldg(static_cast<const uint4*>(p));
}

#else

__device__ __forceinline__ float exp2_fast(float x) { return std::exp2(x); }
__device__ __forceinline__ float exp_fast(float x) { return std::exp(x); }
__device__ __forceinline__ float log_fast(float x) { return std::log(x); }
__device__ __forceinline__ float root_fast(float x) { return std::sqrt(x); }
__device__ __forceinline__ float divide_fast(float a, float b) { return a / b; }
__device__ __forceinline__ uint4 load_16(const void* p) { return *static_cast<const uint4*>(p); }

#endif

}  // namespace remoe
