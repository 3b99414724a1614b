// Work on the rows of [T, E], one warp per token. Lane l holds the experts l, l + 32, ...: slot i
// of the lanes is word i of the token's mask. Rows of up to 512 experts lie in registers, longer
// ones stay in memory, where a lane touches its own experts alone and so needs no barrier.
#pragma once

#include <type_traits>

#include "device/block_scan.h"
#include "moe/routing_mask.h"

namespace remoe {

constexpr int kRowThreads = 256;
constexpr int kRowWarps = kRowThreads / kWarp;
// kSlots of a row that stays in memory.
constexpr int kInMemory = 0;
constexpr int kMostSlots = 16;

inline bool row_is_in_memory(int experts) { return experts > kMostSlots * kWarp; }

// Runs body(slots) with the slots per lane as a constant.
template <class Body>
void with_row_slots(int experts, Body&& body) {
  if (experts <= kWarp) {
    body(std::integral_constant<int, 1>{});
  } else if (experts <= 4 * kWarp) {
    body(std::integral_constant<int, 4>{});
  } else if (!row_is_in_memory(experts)) {
    body(std::integral_constant<int, kMostSlots>{});
  } else {
    body(std::integral_constant<int, kInMemory>{});
  }
}

inline dim3 row_grid(int tokens) { return dim3((tokens - 1) / kRowWarps + 1); }

// The token of this warp, which may be past the last.
__device__ __forceinline__ int token_of_warp() {
  return static_cast<int>(blockIdx.x) * kRowWarps + static_cast<int>(threadIdx.x) / kWarp;
}

__device__ __forceinline__ int row_lane() { return static_cast<int>(threadIdx.x) % kWarp; }

// Runs body(slot, expert) for each expert of the lane, ascending.
template <int kSlots, class Body>
__device__ __forceinline__ void for_each_expert(int experts, Body&& body) {
  if constexpr (kSlots == kInMemory) {
    // Not unrolled, since such rows are rare and registers scarce.
#pragma unroll 1
    for (int i = 0, e = row_lane(); e < experts; i++, e += kWarp) body(i, e);
  } else {
#pragma unroll
    for (int i = 0; i < kSlots; i++) {
      const int e = i * kWarp + row_lane();
      if (e < experts) body(i, e);
    }
  }
}

// A row's values: those of the lane in registers, or the row in memory itself.
template <int kSlots>
class RowValues {
 public:
  __device__ __forceinline__ explicit RowValues(float* row) : row_(row) {}
  __device__ __forceinline__ float& at(int slot, int) { return held_[slot]; }
  __device__ __forceinline__ void load(int experts) {
    for_each_expert<kSlots>(experts, [&](int i, int e) { held_[i] = row_[e]; });
  }
  __device__ __forceinline__ void store(int experts) {
    for_each_expert<kSlots>(experts, [&](int i, int e) { row_[e] = held_[i]; });
  }

 private:
  float* row_;
  float held_[kSlots] = {};
};

template <>
class RowValues<kInMemory> {
 public:
  __device__ __forceinline__ explicit RowValues(float* row) : row_(row) {}
  __device__ __forceinline__ float& at(int, int expert) { return row_[expert]; }
  __device__ __forceinline__ void load(int) {}
  __device__ __forceinline__ void store(int) {}

 private:
  float* row_;
};

// The sum of body(slot, expert) over the row, in every lane.
template <int kSlots, class Body>
__device__ __forceinline__ float row_sum(int experts, Body&& body) {
  float sum = 0.0f;
  for_each_expert<kSlots>(experts, [&](int i, int e) { sum += body(i, e); });
  return warp_sum(sum);
}

// The mask of the experts for which is_chosen(slot, expert) holds.
template <int kSlots, class Body>
__device__ __forceinline__ void write_mask(uint32_t* mask, int experts, Body&& is_chosen) {
  const auto write = [&](int i) {
    const int e = i * kWarp + row_lane();
    const uint32_t word = __ballot_sync(kFullWarp, e < experts && is_chosen(i, e));
    if (row_lane() == 0) mask[i] = word;
  };
  const int words = mask_words(experts);
  if constexpr (kSlots == kInMemory) {
    for (int i = 0; i < words; i++) write(i);
  } else {
#pragma unroll
    for (int i = 0; i < kSlots; i++) {
      if (i < words) write(i);
    }
  }
}

// Whether a mask routes the token to the lane's expert of a slot.
__device__ __forceinline__ bool is_routed(const uint32_t* mask, int slot) {
  return (mask[slot] >> row_lane() & 1u) != 0;
}

}  // namespace remoe
