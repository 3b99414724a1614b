// Elementary functions on vectors.
//
// Every function is a template over float and Vec with the same operations in the same order, so an
// element gives the same bits in a full vector, in a tail and alone.
//
// Largest errors found, in units in the last place (ulp) of the exact result, over every 16th fp32
// argument in the range, on all targets: exponential 1.0 ulp (-87..88.7), logarithm 0.85 (normal
// numbers), sigmoid 2.5 and silu 2.4 (-80..80), hyperbolic_tangent 1.3.
#pragma once

#include <cstdint>
#include <limits>

#include "per_isa/simd/elements.h"
#include "per_isa/simd/vector.h"

namespace remoe::REMOE_TARGET {

namespace detail {
template <class F>
struct Bits;
template <>
struct Bits<float> {
  using Int = int32_t;
};
template <>
struct Bits<Vec> {
  using Int = IVec;
};
template <class F>
using Int = typename Bits<F>::Int;

template <class F>
REMOE_INLINE Int<F> bits(F x) {
  return __builtin_bit_cast(Int<F>, x);
}
template <class F>
REMOE_INLINE F from_bits(Int<F> x) {
  return __builtin_bit_cast(F, x);
}
REMOE_INLINE float to_float(int32_t x) { return static_cast<float>(x); }
REMOE_INLINE Vec to_float(IVec x) { return __builtin_convertvector(x, Vec); }

// log(1 + y) for y in [sqrt(1/2) - 1, sqrt(2) - 1]: y - y^2/2 + y^3 P(y), with P the minimax
// polynomial of degree 8 (total relative error 7.5e-10).
template <class F>
REMOE_INLINE F log1p_reduced(F y) {
  F p = y * 0.06746643781661987f - 0.11675656586885452f;
  p = p * y + 0.11888163536787033f;
  p = p * y - 0.1240558847784996f;
  p = p * y + 0.14219552278518677f;
  p = p * y - 0.1666799634695053f;
  p = p * y + 0.2000211924314499f;
  p = p * y - 0.25000008940696716f;
  p = p * y + 0.3333331346511841f;
  const F z = y * y;
  return y + (p * y * z - 0.5f * z);
}
}  // namespace detail

namespace detail {
// x = n ln 2 + r with n = round(x / ln 2), |r| <= ln(2)/2, for |x| <= 104: returns e^r, and an
// integer whose low bits are n. e^r = 1 + r + r^2 q(r), with q the minimax polynomial of degree 4.
// Its relative error is 3.1e-9, a twentieth of half an ulp, so only rounding remains. ln 2 is split
// in two parts, the first of 9 bits, so that n times it is exact without a fused multiply-add (|n|
// <= 150 has 8 bits); r is then off by at most 2^-25 |r| + |n| 2^-33. The sum 1 + (r + r^2 q)
// rounds once more: below 2 ulp in all.
template <class F>
struct ReducedExponential {
  F exponential;
  Int<F> n;  // plus kShift
};
// Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the mantissa; adding 127 more
// makes them the exponent of 2^n. These are the bits of the sum.
inline constexpr int32_t kShift = 0x4b40007f;
template <class F>
REMOE_INLINE ReducedExponential<F> reduced_exponential(F x) {
  const F shifted = x * 1.44269504088896341f + 12583039.0f;
  const F n = shifted - 12583039.0f;
  const F r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  F q = r * 0.001381459878757596f + 0.008368716575205326f;
  q = q * r + 0.04166838899254799f;
  q = q * r + 0.1666652113199234f;
  q = q * r + 0.4999999403953552f;
  return {(q * (r * r) + r) + 1.0f, bits(shifted)};
}
}  // namespace detail

// e^x. 2^n is applied in two factors, so that results above the largest float become infinity and
// small ones underflow gradually. NaN stays NaN.
template <class F>
REMOE_INLINE F exponential(F x) {
  // Beyond these, the result is infinity or rounds to 0.
  const F bounded = maximum(F{} - 104.0f, minimum(F{} + 89.0f, x));
  const auto reduced = detail::reduced_exponential(bounded);
  const detail::Int<F> n = reduced.n - detail::kShift;
  const detail::Int<F> half = n >> 1;
  const F scale1 = detail::from_bits<F>((half + 127) << 23);
  const F scale2 = detail::from_bits<F>((n - half + 127) << 23);
  return reduced.exponential * scale1 * scale2;
}

// The same bits for x in [-87, 88], and e^-87 = 1.6e-38 below: enough where results are added to
// terms of order 1, and 12 instructions cheaper, since 2^n is one factor. Not for x above 88. NaN
// stays NaN.
template <class F>
REMOE_INLINE F bounded_exponential(F x) {
  const auto reduced = detail::reduced_exponential(maximum(F{} - 87.0f, x));
  return reduced.exponential * detail::from_bits<F>(reduced.n << 23);
}

// ln x: x = 2^e m with m in [sqrt(1/2), sqrt(2)), ln x = e ln 2 + log1p(m - 1), m - 1 exact.
// -infinity at 0, NaN below.
template <class F>
REMOE_INLINE F logarithm(F x) {
  const F smallest = F{} + std::numeric_limits<float>::min();
  const auto subnormal = x < smallest;
  const F scaled = subnormal ? x * 8388608.0f : x;
  const detail::Int<F> b = detail::bits(scaled);
  const detail::Int<F> e = (b - 0x3f3504f3) >> 23;
  const F m = detail::from_bits<F>(b - (e << 23));
  const F ef = detail::to_float(e) - (subnormal ? F{} + 23.0f : F{});
  const F y = m - 1.0f;
  // The low part of ln 2 first, so that the large term is added last and rounds once.
  F result = (detail::log1p_reduced(y) + ef * -2.12194440e-4f) + ef * 0.693359375f;
  const F infinity = F{} + std::numeric_limits<float>::infinity();
  const F nan = F{} + std::numeric_limits<float>::quiet_NaN();
  result = x == F{} ? -infinity : result;
  result = x >= F{} ? result : nan;
  return x == infinity ? infinity : result;
}

template <class F>
REMOE_INLINE F sigmoid(F x) {
  return 1.0f / (1.0f + exponential(-x));
}

template <class F>
REMOE_INLINE F silu(F x) {
  return x / (1.0f + exponential(-x));
}

// d silu(x) / dx, from x and s = sigmoid(x): s (1 + x (1 - s)).
template <class F>
REMOE_INLINE F silu_derivative(F x, F s) {
  return s * (1.0f + x * (1.0f - s));
}

// tanh x: below 0.625, x + x^3 T(x^2) (minimax of degree 4 in x^2, relative error 4.4e-9), since 1
// - 2/(e^2x + 1) cancels there; above, that formula.
template <class F>
REMOE_INLINE F hyperbolic_tangent(F x) {
  const F magnitude = x < F{} ? -x : x;
  const F z = x * x;
  F t = z * -0.005704985465854406f + 0.02063908614218235f;
  t = t * z - 0.05373971536755562f;
  t = t * z + 0.13331441581249237f;
  t = t * z - 0.3333328068256378f;
  const F small = x + x * z * t;
  const F large = 1.0f - 2.0f / (exponential(magnitude * 2.0f) + 1.0f);
  const F signed_large = x < F{} ? -large : large;
  return magnitude < 0.625f ? small : signed_large;
}

// y[i] = f(x[i]) for x[0, n), a vector at a time, the tail through a partial one.
template <class T, class Function>
REMOE_INLINE void map(T* y, const T* x, int64_t n, Function&& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, f(load(x + i)));
  if (i < n) store_partial(y + i, f(load_partial(x + i, n - i)), n - i);
}

}  // namespace remoe::REMOE_TARGET
