// Loads of vectors of lanes (lane.h) from rows of fp32 or bf16.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "per_isa/simd/dot_bf16.h"
#include "per_isa/simd/elements.h"
#include "per_isa/simd/lane.h"

namespace remoe::REMOE_TARGET {

template <class T>
using LaneVec = std::conditional_t<std::is_same_v<T, Bf16>, Pairs, Vec>;

// Elements in a vector of lanes.
template <class T>
inline constexpr int kPerVector = kLanes* kPerLane<T>;

REMOE_INLINE Pairs load(const uint32_t* p) {
  Pairs v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
REMOE_INLINE void store(uint32_t* p, Pairs v) { std::memcpy(p, &v, sizeof v); }
REMOE_INLINE Pairs broadcast(uint32_t x) { return x - Pairs{}; }

// A vector of lanes along the inner dimension, which runs along a row.
REMOE_INLINE Vec load_lanes(const float* row) { return load(row); }
REMOE_INLINE Pairs load_lanes(const Bf16* row) {
  Pairs v;
  std::memcpy(&v, row, sizeof v);
  return v;
}

// The same for the first n elements, fewer than a vector holds; 0 in the others.
REMOE_INLINE Vec load_lanes_partial(const float* row, int64_t n) { return load_partial(row, n); }
REMOE_INLINE Pairs load_lanes_partial(const Bf16* row, int64_t n) {
#if defined(__AVX512BW__)
  const __mmask32 mask = (uint32_t{1} << n) - 1;
  return reinterpret_cast<Pairs>(_mm512_maskz_loadu_epi16(mask, row));
#else
  Pairs v{};
  std::memcpy(&v, row, n * sizeof(Bf16));
  return v;
#endif
}

namespace detail {
// The bits of two vectors of bf16.
using Bf16Pair = uint16_t __attribute__((vector_size(kLanes * 4)));

// Elements [kBegin, kBegin + kLanes) of a and b, in turn.
template <int kBegin, int... I>
REMOE_INLINE Bf16Pair interleave(Bf16Pair a, Bf16Pair b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (kBegin + I / 2 + I % 2 * 2 * kLanes)...);
}
}  // namespace detail

// A row of lanes across the inner dimension, which runs from row to row: one row of fp32, or two of
// bf16.
template <class T>
struct LaneRow;

template <>
struct LaneRow<float> {
  const float* row;

  // Lane `index` of `k` elements whose rows start at at(0), at(1), ...
  template <class Row>
  LaneRow(Row&& at, int64_t index, int64_t /*k*/) : row(at(index)) {}

  REMOE_INLINE Vec load(int64_t column) const { return REMOE_TARGET::load(row + column); }
  REMOE_INLINE Vec load_partial(int64_t column, int64_t n) const {
    return REMOE_TARGET::load_partial(row + column, n);
  }
  // Copies two adjacent vectors.
  REMOE_INLINE void copy(float* to, int64_t column) const {
    store(to, load(column));
    store(to + kLanes, load(column + kLanes));
  }
};

template <>
struct LaneRow<Bf16> {
  const Bf16 *first, *second;
  bool single;  // the second row is beyond the last: 0

  template <class Row>
  LaneRow(Row&& at, int64_t index, int64_t k)
      : first(at(2 * index)),
        second(2 * index + 1 < k ? at(2 * index + 1) : first),
        single(2 * index + 1 >= k) {}

  REMOE_INLINE Pairs load(int64_t column) const {
    return pairs(load_bf16(first + column), load_bf16(second + column));
  }
  REMOE_INLINE Pairs load_partial(int64_t column, int64_t n) const {
    return pairs(load_bf16_partial(first + column, n), load_bf16_partial(second + column, n));
  }
  REMOE_INLINE void copy(uint32_t* to, int64_t column) const {
    constexpr auto kAll = std::make_integer_sequence<int, 2 * kLanes>{};
    detail::Bf16Pair a, b{};
    std::memcpy(&a, first + column, sizeof a);
    if (!single) std::memcpy(&b, second + column, sizeof b);
    const detail::Bf16Pair low = detail::interleave<0>(a, b, kAll);
    const detail::Bf16Pair high = detail::interleave<kLanes>(a, b, kAll);
    std::memcpy(to, &low, sizeof low);
    std::memcpy(to + kLanes, &high, sizeof high);
  }

 private:
  REMOE_INLINE Pairs pairs(Bf16Vec a, Bf16Vec b) const {
    const UVec upper = __builtin_convertvector(b, UVec) << 16;
    return __builtin_convertvector(a, UVec) | (single ? UVec{} : upper);
  }
};

}  // namespace remoe::REMOE_TARGET
