// SwiGLU, A = silu(g) * u of pre-activations h = (g | u), and its derivative.
#pragma once

#include "vector_math.h"

namespace remoe::REMOE_TARGET {

template <class F>
struct SwigluDerivative {
  F activation;  // A
  F dg, du;
};

// With s = sigmoid(g), silu(g) = g s and silu'(g) = s + g s (1 - s) = s (1 + g (1 - s)); for dA the
// gradient of A,
//   dg = dA * u * silu'(g),  du = dA * silu(g).
template <class F>
REMOE_INLINE SwigluDerivative<F> swiglu_derivative(F da, F g, F u) {
  const F s = sigmoid(g);
  const F silu_g = g * s;
  return {silu_g * u, da * u * silu_derivative(g, s), da * silu_g};
}

}  // namespace remoe::REMOE_TARGET
