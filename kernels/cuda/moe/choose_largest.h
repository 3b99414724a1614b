// The choice of a token's k largest values, shared by the routers with a fixed k.
#pragma once

#include "moe/router_rows.h"

namespace remoe {

// Orders like the values, with -0 equal to 0 and NaN below all. 0 is no value's key.
__device__ __forceinline__ uint32_t key_of(float value) {
  if (value != value) return 1;
  const uint32_t bits = __float_as_uint(value + 0.0f);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
}

// The candidate of the largest value(slot, expert), ties to the lower expert; at least one expert
// must be a candidate. A NaN in first place is chosen, as by a scan that looks for a larger one.
template <class Row, class IsCandidate, class Value>
__device__ __forceinline__ int find_largest(int experts, IsCandidate&& is_candidate,
                                            Value&& value) {
  uint32_t own = 0;
  int own_expert = 0;
  // Twice the first candidate, and 1 if it is a number.
  uint32_t first = 0xffffffffu;
  for_each_expert<Row>(experts, [&](int i, int e) {
    if (!is_candidate(i, e)) return;
    const uint32_t key = key_of(value(i, e));
    if (first == 0xffffffffu) first = 2u * e + (key != 1 ? 1 : 0);
    if (key > own) {
      own = key;
      own_expert = e;
    }
  });
  uint32_t lowest = static_cast<uint32_t>(own_expert);
  if constexpr (Row::kLanes > 1) {
    first = __reduce_min_sync(kFullWarp, first);
    const uint32_t largest = __reduce_max_sync(kFullWarp, own);
    lowest = __reduce_min_sync(kFullWarp, own == largest ? lowest : ~0u);
  }
  return static_cast<int>((first & 1) == 0 ? first / 2 : lowest);
}

// chosen = 1 for the k largest, 0 elsewhere. One pass over the experts for each of the k.
template <class Row, class Value>
__device__ __forceinline__ void choose_largest(RowValues<Row>& chosen, int experts, int active,
                                               Value&& value) {
  for_each_expert<Row>(experts, [&](int i, int e) { chosen.at(i, e) = 0.0f; });
  for (int k = 0; k < active; k++) {
    const int best =
        find_largest<Row>(experts, [&](int i, int e) { return chosen.at(i, e) == 0.0f; }, value);
    for_each_expert<Row>(experts, [&](int i, int e) {
      if (e == best) chosen.at(i, e) = 1.0f;
    });
  }
}

}  // namespace remoe
