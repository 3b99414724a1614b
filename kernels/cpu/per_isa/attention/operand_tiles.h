// Attention's operands in tiles: `count` rows of `head_dim` elements, `stride` apart, row r times
// factor(r). Rows from count on become 0.
#pragma once

#include <type_traits>

#include "per_isa/attention/attention_block.h"

namespace remoe::REMOE_TARGET {

// What tiles of operands T hold. Without vdpbf16ps, widening while tiles are filled is faster than
// in every product.
#if defined(__AVX512BF16__)
template <class T>
using TileElement = T;
#else
template <class T>
using TileElement = float;
#endif

// The factor of rows that are copied as they are.
struct Unscaled {
  float operator()(int64_t) const { return 1.0f; }
};
template <class Factor>
inline constexpr bool kUnscaled = std::is_same_v<std::remove_cvref_t<Factor>, Unscaled>;

// Lanes times factors, one for the first and one for the second elements of pairs.
REMOE_INLINE Vec scaled(Vec x, Vec first, Vec) { return x * first; }
REMOE_INLINE Pairs scaled(Pairs x, Vec first, Vec second) {
  return interleave(first_of(x) * first, second_of(x) * second);
}

// [kBlock, lanes], lanes along the rows.
template <class E, class T>
void copy_along(const TileOf<E>& target, const T* source, int64_t stride, int64_t count,
                int64_t head_dim) {
  fill_tile(target, kBlock, count, head_dim, [=](int64_t r) { return source + r * stride; });
}

// [lanes, head_dim], lanes from row to row.
template <class E, class T, class Factor>
void copy_across(const TileOf<E>& target, const T* source, int64_t stride, int64_t count,
                 int64_t head_dim, Factor&& factor) {
  if constexpr (kPerLane<E> == 1) {
    copy_along(target, source, stride, count, head_dim);
  } else {
    const auto row = [=](int64_t r) { return source + r * stride; };
    for_each_lane_row<T>(count, row, [&](int64_t i, const auto& rows) {
      for (int64_t c = 0; c < head_dim; c += kLanes) {
        const int64_t left = head_dim - c;
        store(target.at(i, c), left >= kLanes ? rows.load(c) : rows.load_partial(c, left));
      }
    });
    for (int64_t i = lanes_of<E>(count); i < lanes_of<E>(kBlock); ++i) {
      for (int64_t c = 0; c < head_dim; c += kLanes) store(target.at(i, c), LaneVec<E>{});
    }
  }
  if constexpr (kUnscaled<Factor>) return;
  for (int64_t i = 0; i < lanes_of<E>(kBlock); ++i) {
    const float first = factor(i * kPerLane<E>), second = factor((i + 1) * kPerLane<E> - 1);
    for (int64_t c = 0; c < head_dim; c += kLanes) {
      store(target.at(i, c), scaled(load(target.at(i, c)), broadcast(first), broadcast(second)));
    }
  }
}

// [lanes, kBlock], lanes along the rows.
template <class E, class T, class Factor>
void copy_transposed(const TileOf<E>& target, const T* source, int64_t stride, int64_t count,
                     int64_t head_dim, Factor&& factor) {
  for (int64_t r = 0; r < kBlock; r += kLanes) {
    transpose_vector<E>(target.at(0, r), kPitch, head_dim, count - r,
                        [=](int64_t i) { return source + (r + i) * stride; });
  }
  if constexpr (kUnscaled<Factor>) return;
  alignas(64) float scales[kBlock];
  for (int64_t r = 0; r < kBlock; ++r) scales[r] = factor(r);
  for (int64_t p = 0; p < lanes_of<E>(head_dim); ++p) {
    for (int64_t r = 0; r < kBlock; r += kLanes) {
      const Vec scale = load(scales + r);
      store(target.at(p, r), scaled(load(target.at(p, r)), scale, scale));
    }
  }
}

}  // namespace remoe::REMOE_TARGET
