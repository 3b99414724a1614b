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

// GCC 12 makes several instructions of the conversions between vectors of 16 and 32 bits where
// AVX-512 has one. Masked, since it warns falsely about the plain ones.
#if defined(__AVX512F__)
inline constexpr __mmask16 kAll = 0xffff;
#endif
REMOE_INLINE Vec widen(Bf16Vec x) {
#if defined(__AVX512F__)
  const UVec bits =
      __builtin_bit_cast(UVec, _mm512_maskz_cvtepu16_epi32(kAll, __builtin_bit_cast(__m256i, x)));
#else
  const UVec bits = __builtin_convertvector(x, UVec);
#endif
  return __builtin_bit_cast(Vec, bits << 16);
}

// fp32 whose upper halves are to_bf16() of the lanes.
REMOE_INLINE UVec round_to_upper_half(Vec x) {
#if defined(__AVX512F__)
  const __m512i bits = __builtin_bit_cast(__m512i, x);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  __m512i rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  rounded = _mm512_mask_add_epi32(rounded, odd, bits, _mm512_set1_epi32(0x8000));
  rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x400000));
  return __builtin_bit_cast(UVec, rounded);
#else
  const UVec bits = __builtin_bit_cast(UVec, x);
  const UVec rounded = bits + 0x7fff + ((bits >> 16) & 1);
  return x != x ? bits | 0x400000 : rounded;
#endif
}

REMOE_INLINE Bf16Vec narrow(Vec x) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<Bf16Vec>(_mm512_cvtneps_pbh(x));  // subnormals become 0
#elif defined(__AVX512F__)
  const __m512i upper = __builtin_bit_cast(__m512i, round_to_upper_half(x) >> 16);
  return __builtin_bit_cast(Bf16Vec, _mm512_maskz_cvtepi32_epi16(kAll, upper));
#else
  return __builtin_convertvector(round_to_upper_half(x) >> 16, Bf16Vec);
#endif
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

// Single elements.
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

// How the body of each_vector() reads and writes at its place: a vector, or in the tail an element.
struct VectorAccess {
  template <class T>
  REMOE_INLINE Vec load(const T* p) const {
    return REMOE_TARGET::load(p);
  }
  template <class T>
  REMOE_INLINE void store(T* p, Vec v) const {
    REMOE_TARGET::store(p, v);
  }
  REMOE_INLINE Vec splat(float x) const { return broadcast(x); }
  // The nearest bf16, in fp32.
  REMOE_INLINE Vec round(Vec x) const { return widen(narrow(x)); }
  // Where sums of vectors go, of the two places for them and for elements.
  REMOE_INLINE Vec& sum(Vec& vectors, float&) const { return vectors; }
};
struct ElementAccess {
  template <class T>
  REMOE_INLINE float load(const T* p) const {
    return widened(*p);
  }
  template <class T>
  REMOE_INLINE void store(T* p, float x) const {
    *p = rounded<T>(x);
  }
  REMOE_INLINE float splat(float x) const { return x; }
  REMOE_INLINE float round(float x) const { return to_float(to_bf16(x)); }
  REMOE_INLINE float& sum(Vec&, float& elements) const { return elements; }
};

// Calls body(access, i) for the places [0, n), a vector of them at a time and then one by one.
// Written out because compilers vectorise conversions for runs much longer than a row.
template <class Body>
REMOE_INLINE void each_vector(int64_t n, Body&& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(VectorAccess{}, i);
  for (; i < n; ++i) body(ElementAccess{}, i);
}

// Widens or rounds n elements, or copies them where both are of one type.
template <class To, class From>
REMOE_INLINE void convert_run(To* to, const From* from, int64_t n) {
  each_vector(n, [&](auto at, int64_t i) { at.store(to + i, at.load(from + i)); });
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
