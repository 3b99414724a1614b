// Vectors of the target's width.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define REMOE_INLINE inline __attribute__((always_inline))

namespace remoe::REMOE_TARGET {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;
#endif

using Vec = float __attribute__((vector_size(kLanes * 4)));
using IVec = int32_t __attribute__((vector_size(kLanes * 4)));
using UVec = uint32_t __attribute__((vector_size(kLanes * 4)));

REMOE_INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
REMOE_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
REMOE_INLINE Vec broadcast(float x) { return x - Vec{}; }

// The first n < kLanes elements, 0 in the others.
REMOE_INLINE Vec load_partial(const float* p, int64_t n) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p);
#endif
  float buffer[kLanes] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  return load(buffer);
}
REMOE_INLINE void store_partial(float* p, Vec v, int64_t n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
  return;
#endif
  float buffer[kLanes];
  store(buffer, v);
  for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
}

namespace detail {
template <class V, class Join, int... I>
REMOE_INLINE float join_halves(V v, Join&& join, std::integer_sequence<int, I...>) {
  constexpr int kHalf = sizeof...(I);
  const auto halves =
      join(__builtin_shufflevector(v, v, I...), __builtin_shufflevector(v, v, (I + kHalf)...));
  if constexpr (kHalf == 2) {
    return join(halves[0], halves[1]);
  } else {
    return join_halves(halves, join, std::make_integer_sequence<int, kHalf / 2>{});
  }
}
}  // namespace detail

// Joins the lanes by halves: lane i with lane i + kLanes/2, and so on. In registers: of loops over
// an array of lanes, GCC keeps the loops.
template <class Join>
REMOE_INLINE float join_lanes(Vec v, Join&& join) {
  return detail::join_halves(v, join, std::make_integer_sequence<int, kLanes / 2>{});
}
REMOE_INLINE float sum(Vec v) {
  return join_lanes(v, [](auto a, auto b) { return a + b; });
}
REMOE_INLINE float maximum(Vec v) {
  return join_lanes(v, [](auto a, auto b) { return a > b ? a : b; });
}

// a > b ? a : b and a < b ? a : b, which yield b if either is NaN. x86 has instructions for this,
// but the compiler does not recognise them in a selection between vectors.
REMOE_INLINE float maximum(float a, float b) { return a > b ? a : b; }
REMOE_INLINE float minimum(float a, float b) { return a < b ? a : b; }
REMOE_INLINE Vec maximum(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_maskz_max_ps(0xffff, a, b);  // GCC 12 warns falsely about the plain one
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#elif defined(__SSE2__)
  return _mm_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}
REMOE_INLINE Vec minimum(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_maskz_min_ps(0xffff, a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#elif defined(__SSE2__)
  return _mm_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

REMOE_INLINE Vec square_root(Vec x) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xffff, x);  // GCC 12 warns falsely about the plain one
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#elif defined(__SSE2__)
  return _mm_sqrt_ps(x);
#else
  for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
  return x;
#endif
}

}  // namespace remoe::REMOE_TARGET
