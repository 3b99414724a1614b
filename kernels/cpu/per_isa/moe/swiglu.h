// SwiGLU, A = silu(g) * u of pre-activations h = (g | u), and its derivative.
#pragma once

#include "per_isa/simd/vector_math.h"

namespace remoe::REMOE_TARGET {

// g for silu, clamped at -87, below which silu(g) is less than 1e-36.
template <class F>
REMOE_INLINE F bounded_gate(F g) {
  return maximum(F{} - 87.0f, g);
}

template <class F>
REMOE_INLINE F swiglu(F g, F u) {
  g = bounded_gate(g);
  return g / (1.0f + bounded_exponential(-g)) * u;
}

template <class F>
struct SwigluDerivative {
  F activation;  // A
  F dg, du;
};

// With s = sigmoid(g), silu(g) = g s and silu'(g) = s + g s (1 - s) = s (1 + g (1 - s)). With dA
// the gradient of A,
//   dg = dA * u * silu'(g),  du = dA * silu(g).
template <class F>
REMOE_INLINE SwigluDerivative<F> swiglu_derivative(F da, F g, F u) {
  g = bounded_gate(g);
  const F s = 1.0f / (1.0f + bounded_exponential(-g));  // sigmoid(g)
  const F silu_g = g * s;
  return {silu_g * u, da * u * silu_derivative(g, s), da * silu_g};
}

}  // namespace remoe::REMOE_TARGET
