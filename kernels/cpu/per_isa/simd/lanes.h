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
inline constexpr int kPerVector = kLanes * kPerLane<T>;

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

// Lanes of E, of a row of E or, where those are fp32, of one that is widened.
template <class E, class T>
REMOE_INLINE LaneVec<E> load_lanes_of(const T* row) {
  if constexpr (std::is_same_v<E, T>) {
    return load_lanes(row);
  } else {
    return load(row);
  }
}
template <class E, class T>
REMOE_INLINE LaneVec<E> load_lanes_of_partial(const T* row, int64_t n) {
  if constexpr (std::is_same_v<E, T>) {
    return load_lanes_partial(row, n);
  } else {
    return load_partial(row, n);
  }
}

namespace detail {
// a[0], b[0], a[1], b[1], ..
template <int... I>
REMOE_INLINE Pairs interleave(Bf16Vec a, Bf16Vec b, std::integer_sequence<int, I...>) {
  return __builtin_bit_cast(Pairs, __builtin_shufflevector(a, b, (I / 2 + I % 2 * kLanes)...));
}
}  // namespace detail

// Pairs of an element of `first` and one of `second`.
REMOE_INLINE Pairs interleave(Bf16Vec first, Bf16Vec second) {
  return detail::interleave(first, second, std::make_integer_sequence<int, 2 * kLanes>{});
}
// The same, rounded to bf16.
REMOE_INLINE Pairs interleave(Vec first, Vec second) {
  return interleave(narrow(first), narrow(second));
}

// A row of lanes across the inner dimension, which runs from row to row: a row of fp32, or two of
// bf16, of which the second is 0 if kSingle.
template <class T, bool kSingle = false>
struct LaneRow;

template <>
struct LaneRow<float> {
  const float* row;

  // Row `index` of lanes; rows of elements start at at(0), at(1), ...
  template <class Row>
  LaneRow(Row&& at, int64_t index) : row(at(index)) {}

  REMOE_INLINE Vec load(int64_t column) const { return REMOE_TARGET::load(row + column); }
  // The first n < kLanes, 0 in the others.
  REMOE_INLINE Vec load_partial(int64_t column, int64_t n) const {
    return REMOE_TARGET::load_partial(row + column, n);
  }
};

template <bool kSingle>
struct LaneRow<Bf16, kSingle> {
  const Bf16 *first, *second;

  template <class Row>
  LaneRow(Row&& at, int64_t index) : first(at(2 * index)), second(at(2 * index + !kSingle)) {}

  REMOE_INLINE Pairs load(int64_t column) const {
    return interleave(load_bf16(first + column), kSingle ? Bf16Vec{} : load_bf16(second + column));
  }
  REMOE_INLINE Pairs load_partial(int64_t column, int64_t n) const {
    return interleave(load_bf16_partial(first + column, n),
                      kSingle ? Bf16Vec{} : load_bf16_partial(second + column, n));
  }
};

// Calls body(index, row) for the rows of lanes of k rows of elements.
template <class T, class Row, class Body>
REMOE_INLINE void for_each_lane_row(int64_t k, Row&& at, Body&& body) {
  const int64_t whole = k / kPerLane<T>;
  for (int64_t i = 0; i < whole; ++i) body(i, LaneRow<T>(at, i));
  if constexpr (kPerLane<T> == 2) {
    if (k % 2 != 0) body(whole, LaneRow<T, true>(at, whole));
  }
}

}  // namespace remoe::REMOE_TARGET
