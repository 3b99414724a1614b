// Work on the rows of [T, E]. A warp takes a token: lane l holds the experts l, l + 32, ..., so
// that slot i of the lanes is word i of the token's mask. Of up to 16 experts most lanes would
// idle, so there a single lane takes a token. Rows of up to 512 experts lie in registers, longer
// ones stay in memory, where a lane touches its own experts alone and so needs no barrier.
#pragma once

#include <type_traits>

#include "device/block_reduce.h"
#include "moe/routing_mask.h"

namespace remoe {

// Kernels ask for one such block per multiprocessor, so that the compiler gives a lane the
// registers that its row takes; left to itself it spills a few of them for the sake of occupancy.
constexpr int kRowThreads = 128;
// kSlots of a row that stays in memory.
constexpr int kInMemory = 0;
constexpr int kMostSlots = 16;

inline bool row_is_in_memory(int experts) { return experts > kMostSlots * kWarp; }

// How the lanes of a warp share rows: kLanes take one, each with up to kSlots experts.
template <int kLanes_, int kSlots_>
struct RowShape {
  static constexpr int kLanes = kLanes_;
  static constexpr int kSlots = kSlots_;
  static_assert(kLanes == 1 || kLanes == kWarp);

  static dim3 grid(int tokens) { return dim3((tokens - 1) / (kRowThreads / kLanes) + 1); }

  // The token of this lane, which may be past the last.
  static __device__ __forceinline__ int token() {
    return static_cast<int>(blockIdx.x) * (kRowThreads / kLanes) +
           static_cast<int>(threadIdx.x) / kLanes;
  }
  static __device__ __forceinline__ int lane() { return static_cast<int>(threadIdx.x) % kLanes; }
};

// Runs body(shape) for rows of this length.
template <class Body>
void with_row_shape(int experts, Body&& body) {
  if (experts <= 8) {
    body(RowShape<1, 8>{});
  } else if (experts <= 16) {
    body(RowShape<1, 16>{});
  } else if (experts <= kWarp) {
    body(RowShape<kWarp, 1>{});
  } else if (experts <= 4 * kWarp) {
    body(RowShape<kWarp, 4>{});
  } else if (!row_is_in_memory(experts)) {
    body(RowShape<kWarp, kMostSlots>{});
  } else {
    body(RowShape<kWarp, kInMemory>{});
  }
}

// Runs body(slot, expert) for each expert of the lane, ascending.
template <class Row, class Body>
__device__ __forceinline__ void for_each_expert(int experts, Body&& body) {
  if constexpr (Row::kSlots == kInMemory) {
    // Not unrolled, since such rows are rare and registers scarce.
#pragma unroll 1
    for (int i = 0, e = Row::lane(); e < experts; i++, e += Row::kLanes) body(i, e);
  } else {
#pragma unroll
    for (int i = 0; i < Row::kSlots; i++) {
      const int e = i * Row::kLanes + Row::lane();
      if (e < experts) body(i, e);
    }
  }
}

// A row's values: those of the lane in registers, or the row in memory itself.
template <class Row, bool kInRegisters = Row::kSlots != kInMemory>
class RowValues {
 public:
  __device__ __forceinline__ explicit RowValues(float* row) : row_(row) {}
  __device__ __forceinline__ float& at(int slot, int) { return held_[slot]; }
  __device__ __forceinline__ void load(int experts) {
    for_each_expert<Row>(experts, [&](int i, int e) { held_[i] = row_[e]; });
  }
  __device__ __forceinline__ void store(int experts) {
    for_each_expert<Row>(experts, [&](int i, int e) { row_[e] = held_[i]; });
  }

 private:
  float* row_;
  float held_[Row::kSlots] = {};
};

template <class Row>
class RowValues<Row, false> {
 public:
  __device__ __forceinline__ explicit RowValues(float* row) : row_(row) {}
  __device__ __forceinline__ float& at(int, int expert) { return row_[expert]; }
  __device__ __forceinline__ void load(int) {}
  __device__ __forceinline__ void store(int) {}

 private:
  float* row_;
};

// Joins the values of a row's lanes, in each of them.
template <class Row, class Join>
__device__ __forceinline__ float row_reduce(float value, Join join) {
  if constexpr (Row::kLanes == 1) {
    return value;
  } else {
    return warp_reduce(value, join);
  }
}

// The sum of body(slot, expert) over the row, in each of its lanes.
template <class Row, class Body>
__device__ __forceinline__ float row_sum(int experts, Body&& body) {
  float sum = 0.0f;
  for_each_expert<Row>(experts, [&](int i, int e) { sum += body(i, e); });
  return row_reduce<Row>(sum, Add{});
}

// The mask of the experts for which is_chosen(slot, expert) holds.
template <class Row, class Body>
__device__ __forceinline__ void write_mask(uint32_t* mask, int experts, Body&& is_chosen) {
  if constexpr (Row::kLanes == 1) {
    static_assert(Row::kSlots <= 32);
    uint32_t word = 0;
    for_each_expert<Row>(experts, [&](int i, int e) { word |= (is_chosen(i, e) ? 1u : 0u) << e; });
    mask[0] = word;
  } else {
    const int words = mask_words(experts);
    const auto write = [&](int i) {
      const int e = i * kWarp + Row::lane();
      const uint32_t word = __ballot_sync(kFullWarp, e < experts && is_chosen(i, e));
      if (Row::lane() == 0) mask[i] = word;
    };
    if constexpr (Row::kSlots == kInMemory) {
      for (int i = 0; i < words; i++) write(i);
    } else {
#pragma unroll
      for (int i = 0; i < Row::kSlots; i++) {
        if (i < words) write(i);
      }
    }
  }
}

// Whether a mask routes its token to an expert.
__device__ __forceinline__ bool is_routed(const uint32_t* mask, int expert) {
  return (mask[expert / 32] >> expert % 32 & 1u) != 0;
}

}  // namespace remoe
