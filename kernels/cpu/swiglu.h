// SwiGLU on one row of pre-activations h = (g | u): a = silu(g) * u.
#pragma once

#include <cstdint>

#include "vector_math.h"

namespace remoe::REMOE_TARGET {

// a = scale * silu(g) * u.
inline void swiglu_row(float* a, const float* h, int width, float scale) {
  const float* g = h;
  const float* u = h + width;
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    store(a + i, silu(load(g + i)) * load(u + i) * scale);
  }
  for (; i < width; ++i) a[i] = silu(g[i]) * u[i] * scale;
}

// The derivative. With s = sigmoid(g), silu(g) = g s and silu'(g) = s + g s (1 - s) =
// s (1 + g (1 - s)); for da the gradient of a,
//   dg = da * u * silu'(g),  du = da * silu(g).
template <class F>
struct SwigluDerivative {
  F activation;  // silu(g) * u
  F dg, du;
};

template <class F>
REMOE_INLINE SwigluDerivative<F> swiglu_derivative(F da, F g, F u) {
  const F s = sigmoid(g);
  const F silu_g = g * s;
  return {silu_g * u, da * u * silu_derivative(g, s), da * silu_g};
}

}  // namespace remoe::REMOE_TARGET
