// The routers' product: one tile of logits = x W per block, in fp32 rather than on the tensor
// cores, since routing decisions hinge on the sign and the order of the logits.
#pragma once

#include <type_traits>

#include "device/bf16.h"

namespace remoe {

constexpr int kRouterThreads = 256;
constexpr int kTileTokens = 64;
// 32 columns of x are 128 bytes per token in fp32: a warp's load takes four whole lines.
constexpr int kTileDepth = 32;
// W's loads and the tile's storage work in fours: 16 bytes.
constexpr int kFour = 4;

template <class T>
struct RouterOperands {
  const T* x;      // [T, D]
  const float* w;  // [D, E]
  int tokens;
  int hidden;
  int experts;
};

// A thread's part of its block's tile. Of 256 threads, 8 columns of lanes by 4 rows form a warp.
// Per step of depth it reads 64 bytes of x and 128 of W, touching each bank once, for 8, 16 or 32
// multiply-adds per lane.
template <int kTileExperts>
struct ThreadTile {
  static constexpr int kTokens = kTileExperts == 128 ? 8 : 4;
  static constexpr int kExperts = kTileExperts == 32 ? 2 : 4;
  static constexpr int kWarpColumns = kTileExperts / kExperts / 8;
  static_assert(kTokens * kExperts * kRouterThreads == kTileTokens * kTileExperts);

  int row;     // first token
  int column;  // first expert

  __device__ __forceinline__ ThreadTile() {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    row = (warp / kWarpColumns * 4 + lane / 8) * kTokens;
    column = (warp % kWarpColumns * 8 + lane % 8) * kExperts;
  }
};

template <int kTileExperts>
struct ProductTile {
  alignas(16) float x[2][kTileDepth][kTileTokens];  // tokens in the order of swizzled()
  alignas(16) float w[2][kTileDepth][kTileExperts];
};

// Position of four tokens in a row of the tile. A warp stores 4 tokens by 8 fours of depth at once
// (in bf16, 8 tokens by every second four): swapped according to the four of depth, they touch all
// 32 banks once instead of 4 banks eight times.
__device__ __forceinline__ int swizzled(int token, int depth) {
  return (token / kFour ^ depth / kFour) * kFour + token % kFour;
}

// kCount adjacent elements of a row, which are 16 bytes, and zeros outside it. kWide requires every
// row to start at a multiple of 16 bytes; they then lie either inside or outside together.
template <bool kWide, class T, int kCount>
__device__ __forceinline__ void load_row(Vector<T, kCount>& to, const T* row, int first, int size) {
  if constexpr (kWide) {
    to = first < size ? load_vector<T, kCount>(row + first) : Vector<T, kCount>{};
  } else {
#pragma unroll
    for (int i = 0; i < kCount; i++) to.element[i] = first + i < size ? row[first + i] : T{};
  }
}

// A thread's share of one step of depth, in registers on the way from device to shared memory.
template <class T, int kTileExperts, bool kWide>
struct Fragment {
  static constexpr int kVector = 16 / sizeof(T);
  static constexpr int kRowVectors = kTileDepth / kVector;
  static constexpr int kExpertFours = kTileExperts / kFour;
  static constexpr int kTokenLoads = kTileTokens * kRowVectors / kRouterThreads;
  static constexpr int kWeightLoads = kTileDepth * kExpertFours / kRouterThreads;
  Vector<T, kVector> x[kTokenLoads];
  Vector<float, kFour> w[kWeightLoads];

  // Outside the matrices the product adds zeros.
  __device__ __forceinline__ void load(const RouterOperands<T>& a, int token0, int expert0,
                                       int d0) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kTokenLoads; i++) {
      const int token = token0 + thread / kRowVectors + i * (kRouterThreads / kRowVectors);
      const T* row = a.x + static_cast<size_t>(token) * a.hidden;
      const int d = d0 + thread % kRowVectors * kVector;
      load_row<kWide>(x[i], row, d, token < a.tokens ? a.hidden : 0);
    }
#pragma unroll
    for (int i = 0; i < kWeightLoads; i++) {
      const int d = d0 + thread / kExpertFours + i * (kRouterThreads / kExpertFours);
      const float* row = a.w + static_cast<size_t>(d) * a.experts;
      const int expert = expert0 + thread % kExpertFours * kFour;
      load_row<kWide>(w[i], row, expert, d < a.hidden ? a.experts : 0);
    }
  }

  __device__ __forceinline__ void store(ProductTile<kTileExperts>& tile, int stage) const {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kTokenLoads; i++) {
      const int token = thread / kRowVectors + i * (kRouterThreads / kRowVectors);
      const int d = thread % kRowVectors * kVector;
#pragma unroll
      for (int j = 0; j < kVector; j++) {
        tile.x[stage][d + j][swizzled(token, d + j / kFour * kFour)] = to_float(x[i].element[j]);
      }
    }
#pragma unroll
    for (int i = 0; i < kWeightLoads; i++) {
      const int d = thread / kExpertFours + i * (kRouterThreads / kExpertFours);
      const int expert = thread % kExpertFours * kFour;
      store_vector(&tile.w[stage][d][expert], w[i]);
    }
  }
};

template <int kTileExperts>
using Logits = float[ThreadTile<kTileExperts>::kTokens][ThreadTile<kTileExperts>::kExperts];

template <int kTileExperts>
__device__ __forceinline__ void multiply(const ProductTile<kTileExperts>& tile, int stage,
                                         const ThreadTile<kTileExperts>& own,
                                         Logits<kTileExperts>& logits) {
  using Own = ThreadTile<kTileExperts>;
#pragma unroll
  for (int d = 0; d < kTileDepth; d++) {
    float x[Own::kTokens];
    float w[Own::kExperts];
#pragma unroll
    for (int i = 0; i < Own::kTokens; i += kFour) {
      const auto four = load_vector<float, kFour>(&tile.x[stage][d][swizzled(own.row + i, d)]);
#pragma unroll
      for (int j = 0; j < kFour; j++) x[i + j] = four.element[j];
    }
#pragma unroll
    for (int j = 0; j < Own::kExperts; j += 2) {
      const auto two = load_vector<float, 2>(&tile.w[stage][d][own.column + j]);
      w[j] = two.element[0];
      w[j + 1] = two.element[1];
    }
#pragma unroll
    for (int i = 0; i < Own::kTokens; i++) {
#pragma unroll
      for (int j = 0; j < Own::kExperts; j++) logits[i][j] += x[i] * w[j];
    }
  }
}

// The logits of the block's tile. While one step of depth is multiplied, the next ones are in
// flight from memory. Two steps, which with two blocks per multiprocessor are 32 KiB of x, match
// Hopper's latency times its bandwidth. With 128 experts one is enough, since there is more to
// multiply meanwhile and no registers are left. Two stages make one barrier per step sufficient: a
// stage is written again only after the barrier of the step in between, which all its readers have
// passed.
template <bool kWide, class T, int kTileExperts>
__device__ __forceinline__ void router_product(ProductTile<kTileExperts>& tile,
                                               const RouterOperands<T>& a, int token0, int expert0,
                                               const ThreadTile<kTileExperts>& own,
                                               Logits<kTileExperts>& logits) {
  constexpr int kAhead = kTileExperts == 128 ? 1 : 2;
  Fragment<T, kTileExperts, kWide> next[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; i++) next[i].load(a, token0, expert0, i * kTileDepth);
  for (int d0 = 0; d0 < a.hidden; d0 += 2 * kTileDepth) {
#pragma unroll
    for (int stage = 0; stage < 2; stage++) {
      const int d = d0 + stage * kTileDepth;
      if (d >= a.hidden) break;
      Fragment<T, kTileExperts, kWide>& fragment = next[stage % kAhead];
      fragment.store(tile, stage);
      __syncthreads();
      fragment.load(a, token0, expert0, d + kAhead * kTileDepth);
      multiply(tile, stage, own, logits);
    }
  }
}

// Whether all rows of x and W start at multiples of 16 bytes.
template <class T>
bool has_wide_rows(const RouterOperands<T>& a) {
  const auto both = reinterpret_cast<uintptr_t>(a.x) | reinterpret_cast<uintptr_t>(a.w);
  return a.hidden % (16 / sizeof(T)) == 0 && a.experts % kFour == 0 && both % 16 == 0;
}

// Runs body(tile, wide) with the tile's experts and kWide as constants. A wide tile reads x once
// for 128 experts, but multiplies zeros where there are fewer.
template <class Body>
void with_router_tile(int experts, bool is_wide, Body&& body) {
  const auto with_width = [&](auto tile) {
    if (is_wide) {
      body(tile, std::true_type{});
    } else {
      body(tile, std::false_type{});
    }
  };
  if (experts <= 32) {
    with_width(std::integral_constant<int, 32>{});
  } else if (experts <= 64) {
    with_width(std::integral_constant<int, 64>{});
  } else {
    with_width(std::integral_constant<int, 128>{});
  }
}

// The blocks of the product: [token tiles, expert tiles].
inline dim3 router_grid(int tokens, int experts, int tile_experts) {
  return dim3((tokens - 1) / kTileTokens + 1, (experts - 1) / tile_experts + 1);
}

}  // namespace remoe
