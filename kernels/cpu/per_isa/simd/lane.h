// The lanes of 32 bits in which products take their operands: an fp32, or two bf16 that are
// consecutive along the inner dimension, the first in the lower half.
#pragma once

#include <cstdint>

#include "per_isa/simd/bf16.h"

namespace remoe {

template <class T>
struct LaneOf;
template <>
struct LaneOf<float> {
  using Type = float;
  static constexpr int kElements = 1;
};
template <>
struct LaneOf<Bf16> {
  using Type = uint32_t;
  static constexpr int kElements = 2;
};

template <class T>
using Lane = typename LaneOf<T>::Type;
template <class T>
inline constexpr int kPerLane = LaneOf<T>::kElements;

// Lanes of k elements of the inner dimension; the last is padded with 0.
template <class T>
[[gnu::always_inline]] inline constexpr int64_t lanes_of(int64_t k) {
  return (k + kPerLane<T> - 1) / kPerLane<T>;
}

}  // namespace remoe
