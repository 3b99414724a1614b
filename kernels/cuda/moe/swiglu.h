// SwiGLU, A = silu(g) * u of pre-activations h = (g | u), and its derivative.
#pragma once

#include <cmath>

#include "device/gpu.h"

namespace remoe {

// g for silu, clamped at -87, below which silu(g) is less than 1e-36. NaN stays.
__device__ __forceinline__ float bounded_gate(float g) { return g < -87.0f ? -87.0f : g; }

__device__ __forceinline__ float swiglu(float g, float u) {
  g = bounded_gate(g);
  return g / (1.0f + expf(-g)) * u;
}

struct SwigluDerivative {
  float activation;  // A
  float dg;
  float du;
};

// With s = sigmoid(g), silu(g) = g s and silu'(g) = s + g s (1 - s) = s (1 + g (1 - s)). With dA
// the gradient of A,
//   dg = dA * u * silu'(g),  du = dA * silu(g).
__device__ __forceinline__ SwigluDerivative swiglu_derivative(float da, float g, float u) {
  g = bounded_gate(g);
  const float s = 1.0f / (1.0f + expf(-g));
  const float silu = g * s;
  return {silu * u, da * u * (s * (1.0f + g * (1.0f - s))), da * silu};
}

}  // namespace remoe
