// Elements of activations: fp32, or bf16, which is widened on load and rounded to nearest even on
// store. Kernels bound by memory are templates over the element.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "per_isa/simd/bf16.h"
#include "per_isa/simd/vector.h"
#include "remoe.h"

namespace remoe::REMOE_TARGET {

// The bits of a vector of bf16.
using Bf16Vec = uint16_t __attribute__((vector_size(kLanes * 2)));

REMOE_INLINE Vec widen(Bf16Vec x) {
  return __builtin_bit_cast(Vec, __builtin_convertvector(x, UVec) << 16);
}

// fp32 whose upper halves are to_bf16() of the lanes.
REMOE_INLINE UVec round_to_upper_half(Vec x) {
  const UVec bits = __builtin_bit_cast(UVec, x);
  const UVec rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return x != x ? bits | 0x400000 : rounded;
}

REMOE_INLINE Bf16Vec narrow(Vec x) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<Bf16Vec>(_mm512_cvtneps_pbh(x));  // subnormals become 0
#endif
  return __builtin_convertvector(round_to_upper_half(x) >> 16, Bf16Vec);
}

REMOE_INLINE Bf16Vec load_bf16(const Bf16* p) {
  Bf16Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
// The first n < kLanes elements, 0 in the others.
REMOE_INLINE Bf16Vec load_bf16_partial(const Bf16* p, int64_t n) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
  return reinterpret_cast<Bf16Vec>(_mm256_maskz_loadu_epi16(mask, p));
#else
  Bf16Vec v{};
  std::memcpy(&v, p, n * sizeof(Bf16));
  return v;
#endif
}

REMOE_INLINE Vec load(const Bf16* p) { return widen(load_bf16(p)); }
REMOE_INLINE void store(Bf16* p, Vec v) {
  const Bf16Vec x = narrow(v);
  std::memcpy(p, &x, sizeof x);
}

REMOE_INLINE Vec load_partial(const Bf16* p, int64_t n) { return widen(load_bf16_partial(p, n)); }
REMOE_INLINE void store_partial(Bf16* p, Vec v, int64_t n) {
  const Bf16Vec x = narrow(v);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
  _mm256_mask_storeu_epi16(p, mask, reinterpret_cast<__m256i>(x));
#else
  std::memcpy(p, &x, n * sizeof(Bf16));
#endif
}

// Single elements, for tails and for loops that the compiler vectorises.
REMOE_INLINE float widened(float x) { return x; }
REMOE_INLINE float widened(Bf16 x) { return to_float(x); }
template <class T>
REMOE_INLINE T rounded(float x) {
  if constexpr (std::is_same_v<T, Bf16>) {
    return to_bf16(x);
  } else {
    return x;
  }
}

// Calls body.operator()<T>() with T the element of `dtype`, which is REMOE_F32 or REMOE_BF16.
template <class Body>
void with_element(int32_t dtype, Body&& body) {
  if (dtype == REMOE_BF16) {
    body.template operator()<Bf16>();
  } else {
    body.template operator()<float>();
  }
}

}  // namespace remoe::REMOE_TARGET
