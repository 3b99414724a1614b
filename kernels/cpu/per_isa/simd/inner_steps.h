// Steps of the inner loops of products.
#pragma once

#include "per_isa/simd/lanes.h"

namespace remoe::REMOE_TARGET {

// Inner steps between two branches. Unrolling leaves fewer instructions per multiply-add, which
// matters when a core shares its front end with a second thread: on a busy Zen 3, a product in L1
// went from 70 to 80 % of peak. Without fused multiply-adds, products need registers too, and more
// steps would spill sums.
#if defined(__FMA__) || defined(__aarch64__)
inline constexpr int kUnroll = 4;
#else
inline constexpr int kUnroll = 1;
#endif

// sum += a * b, by the instruction that overwrites the sum. The compiler may choose to overwrite a
// factor instead, and between unrolled steps it does, at the price of copies and spilled sums.
REMOE_INLINE void multiply_add(Vec& sum, Vec a, Vec b) {
#if defined(__AVX512F__)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#elif defined(__FMA__)
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
#else
  sum += a * b;
#endif
}

// acc[r] += x(r) * y, with x(r) broadcast.
template <int R, int V, class Element>
REMOE_INLINE void multiply_row(Vec (&acc)[R][V], const Vec (&y)[V], Element&& x) {
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Vec a = x(r);
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) multiply_add(acc[r][v], a, y[v]);
  }
}

// One lane of the inner dimension: acc[r] += a(r) * b, for a lane of A in each row and V adjacent
// vectors of B.
template <int R, int V, class A>
REMOE_INLINE void multiply_step(Vec (&acc)[R][V], const float* b, A&& a) {
  Vec y[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) y[v] = load(b + v * kLanes);
  multiply_row(acc, y, [&](int r) { return broadcast(a(r)); });
}

template <int R, int V, class A>
REMOE_INLINE void multiply_step(Vec (&acc)[R][V], const uint32_t* b, A&& a) {
#if defined(__AVX512BF16__)
  Pairs y[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) y[v] = load(b + v * kLanes);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    const Pairs x = broadcast(a(r));
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) acc[r][v] = dot_pairs(acc[r][v], x, y[v]);
  }
#else
  // One half of all pairs after the other takes half as many registers. Widening on the fly costs
  // 3 to 5 % of the time, less than panels of twice the size.
  Vec y[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) y[v] = second_of(load(b + v * kLanes));
  multiply_row(acc, y, [&](int r) { return second_of(broadcast(a(r))); });
#pragma GCC unroll 2
  for (int v = 0; v < V; ++v) y[v] = first_of(load(b + v * kLanes));
  multiply_row(acc, y, [&](int r) { return first_of(broadcast(a(r))); });
#endif
}

}  // namespace remoe::REMOE_TARGET
