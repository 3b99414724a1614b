// The routers' product x W, a warp for 16 tokens by up to 64 experts.
//
// Routing decisions hinge on the sign and the order of the logits, so they keep fp32's accuracy on
// the tensor cores: W, and x in fp32, are sums of three bf16 terms without a remainder. A product
// of two terms is exact in fp32, and those below 2^-26 of the largest are left out. What follows
// the first term has sums of its own, so that all but 1/256 of the sum is rounded once per
// instruction.
//
// x goes from memory straight into the registers of the lane that multiplies it, once, and the
// terms of W are in cache: there is nothing to share, and no barrier.
#pragma once

#include <type_traits>

#include "device/block_scan.h"
#include "device/mma.h"
#include "moe/router_input.h"
#include "moe/split_weights.h"
#include "runtime/dtype.h"

namespace remoe {

constexpr int kWarpTokens = 16;
constexpr int kRouterWarps = kTileTokens / kWarpTokens;
constexpr int kRouterThreads = kRouterWarps * kWarp;

template <class T>
struct RouterOperands {
  const T* x;            // [T, D]
  const float* w;        // [D, E]
  const uint4* weights;  // SplitWeights
  int weight_tiles;
  int tokens;
  int hidden;
  int experts;
};

// What a lane holds of its warp's logits: rows `row` and `row` + 8, columns `column` and
// `column` + 1 of each tile of 8 experts.
template <int kTiles>
struct WarpTile {
  int row;     // a token
  int column;  // an expert of the first tile

  __device__ __forceinline__ WarpTile() {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
    row = static_cast<int>(blockIdx.x) * kTileTokens + warp * kWarpTokens + lane / 4;
    column = static_cast<int>(blockIdx.y) * kTiles * kTileColumns + lane % 4 * 2;
  }

  // Of the i-th logit of a tile.
  __device__ __forceinline__ int token(int i) const { return row + i / 2 * 8; }
  __device__ __forceinline__ int expert(int tile, int i) const {
    return column + tile * kTileColumns + i % 2;
  }
};

template <int kTiles>
using Logits = float[kTiles][4];

// A lane's x of one chunk of depth, in registers on the way from memory: 8 elements of each of two
// tokens, zeros outside. kWide requires all rows to start at multiples of 16 bytes.
template <class T, bool kWide>
struct Fragment {
  static constexpr int kVector = 16 / sizeof(T);
  static constexpr int kVectors = 8 / kVector;
  static constexpr int kTerms = sizeof(T) == sizeof(Bf16) ? 1 : remoe::kTerms;
  Vector<T, kVector> x[2][kVectors];

  __device__ __forceinline__ void load(const RouterOperands<T>& a, int row, int depth) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int token = row + 8 * i;
      const T* from = a.x + static_cast<size_t>(token) * a.hidden;
      const int size = token < a.tokens ? a.hidden : 0;
#pragma unroll
      for (int j = 0; j < kVectors; j++) {
        const int d = depth + depth_of<T>(j, lane % 4, 0);
        if constexpr (kWide) {
          x[i][j] = d < size ? load_vector<T, kVector>(from + d) : Vector<T, kVector>{};
        } else {
#pragma unroll
          for (int e = 0; e < kVector; e++) x[i][j].element[e] = d + e < size ? from[d + e] : T{};
        }
      }
    }
  }

  // The operands of both instructions, in terms.
  __device__ __forceinline__ void split(uint32_t (&a)[2][kTerms][4]) const {
#pragma unroll
    for (int step = 0; step < 2; step++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        // Of the four elements of an instruction, a[0] and a[1] are the first pair.
        const int first = step * 4 + i / 2 * 2;
        const T low = x[i % 2][first / kVector].element[first % kVector];
        const T high = x[i % 2][first / kVector].element[first % kVector + 1];
        Bf16Pair terms[kTerms];
        if constexpr (kTerms == 1) {
          terms[0].bits = low.bits | static_cast<uint32_t>(high.bits) << 16;
        } else {
          split_pair(terms, low, high);
        }
#pragma unroll
        for (int term = 0; term < kTerms; term++) a[step][term][i] = terms[term].bits;
      }
    }
  }
};

// Adds the products of a chunk. Those of the terms i and j are about 2^-8(i + j) of the first ones.
template <class T, bool kWide, int kTiles>
__device__ __forceinline__ void multiply_chunk(const Fragment<T, kWide>& fragment,
                                               const uint4* weights, Logits<kTiles>& first,
                                               Logits<kTiles>& rest) {
  uint32_t x[2][Fragment<T, kWide>::kTerms][4];
  fragment.split(x);
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
#pragma unroll
    for (int j = 0; j < kTerms; j++) {
      const uint4 w = weights[(tile * kTerms + j) * kWarp];
#pragma unroll
      for (int i = 0; i < Fragment<T, kWide>::kTerms; i++) {
        if (i + j >= kTerms) continue;
        float(&sums)[4] = i + j == 0 ? first[tile] : rest[tile];
        multiply_16x8x16(sums, x[0][i], w.x, w.y);
        multiply_16x8x16(sums, x[1][i], w.z, w.w);
      }
    }
  }
}

// Infinity has a second term that is NaN, and so have its logits. Each NaN is computed again, as
// fp32 gives it: a diverged run is slow, but right.
template <class T, int kTiles>
__device__ __forceinline__ void repair(const RouterOperands<T>& a, const WarpTile<kTiles>& own,
                                       Logits<kTiles>& logits) {
  static_assert(4 * kTiles <= 32);
  uint32_t broken = 0;
#pragma unroll
  for (int place = 0; place < 4 * kTiles; place++) {
    const float logit = logits[place / 4][place % 4];
    const bool inside =
        own.token(place % 4) < a.tokens && own.expert(place / 4, place % 4) < a.experts;
    if (inside && logit != logit) broken |= 1u << place;
  }
  for (; broken != 0; broken &= broken - 1) {
    const int next = __ffs(static_cast<int>(broken)) - 1;
    const T* x = a.x + static_cast<size_t>(own.token(next % 4)) * a.hidden;
    const float* w = a.w + own.expert(next / 4, next % 4);
    float sum = 0.0f;
    for (int d = 0; d < a.hidden; d++)
      sum += to_float(x[d]) * w[static_cast<size_t>(d) * a.experts];
#pragma unroll
    for (int place = 0; place < 4 * kTiles; place++) {
      if (place == next) logits[place / 4][place % 4] = sum;
    }
  }
}

// The logits of the warp's tokens and experts; outside the matrices they mean nothing. The chunks
// ahead are in flight from memory while one is multiplied. For 8 warps per multiprocessor, as
// 16,384 tokens make, 4 of bf16 or 2 of fp32 are 32 KiB: Hopper's latency times its bandwidth.
template <bool kWide, class T, int kTiles>
__device__ __forceinline__ void router_product(const RouterOperands<T>& a,
                                               const WarpTile<kTiles>& own,
                                               Logits<kTiles>& logits) {
  constexpr int kAhead = sizeof(T) == sizeof(Bf16) || kTiles < 8 ? 4 : 2;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const size_t stride = static_cast<size_t>(a.weight_tiles) * kTerms * kWarp;
  const uint4* weights =
      a.weights + static_cast<size_t>(blockIdx.y) * kTiles * kTerms * kWarp + lane;
  Fragment<T, kWide> next[kAhead];
  Logits<kTiles> rest = {};
#pragma unroll
  for (int i = 0; i < kAhead; i++) next[i].load(a, own.row, i * kChunkDepth);
  for (int d0 = 0; d0 < a.hidden; d0 += kAhead * kChunkDepth) {
#pragma unroll
    for (int i = 0; i < kAhead; i++) {
      const int d = d0 + i * kChunkDepth;
      if (d >= a.hidden) break;
      const Fragment<T, kWide> now = next[i];
      next[i].load(a, own.row, d + kAhead * kChunkDepth);
      multiply_chunk<T, kWide, kTiles>(now, weights, logits, rest);
      weights += stride;
    }
  }
#pragma unroll
  for (int tile = 0; tile < kTiles; tile++) {
#pragma unroll
    for (int i = 0; i < 4; i++) logits[tile][i] += rest[tile][i];
  }
  repair(a, own, logits);
}

// Writes the values of the warp's pairs of token and expert.
template <int kTiles>
__device__ __forceinline__ void store_tile(float* to, const WarpTile<kTiles>& own,
                                           const Logits<kTiles>& values, int tokens, int experts) {
  const bool is_paired = experts % 2 == 0 && reinterpret_cast<uintptr_t>(to) % 8 == 0;
#pragma unroll
  for (int i = 0; i < 4; i += 2) {
    if (own.token(i) >= tokens) continue;
    float* row = to + static_cast<size_t>(own.token(i)) * experts;
#pragma unroll
    for (int tile = 0; tile < kTiles; tile++) {
      const int expert = own.expert(tile, i);
      if (is_paired) {
        const Vector<float, 2> both = {values[tile][i], values[tile][i + 1]};
        if (expert < experts) store_vector(row + expert, both);
      } else {
        if (expert < experts) row[expert] = values[tile][i];
        if (expert + 1 < experts) row[expert + 1] = values[tile][i + 1];
      }
    }
  }
}

// Tiles of 8 experts per warp: as few as there are, so that little is multiplied by zeros. Rows
// that start anywhere are rare enough for one kernel.
inline int router_tiles(int experts, bool is_wide) {
  if (!is_wide) return 4;
  return experts <= 8 ? 1 : experts <= 16 ? 2 : experts <= 32 ? 4 : 8;
}

// Enqueues the split of W and runs body(operands, tiles, wide), which is to launch a kernel with
// kTiles and kWide as these constants.
template <class Body>
void with_router_product(Operation& op, const RouterInput& input, Body&& body) {
  with_activations(input.dtype, [&](auto element) {
    using T = decltype(element);
    const bool is_wide = input.hidden % (16 / sizeof(T)) == 0 && input.x % 16 == 0;
    const int tiles = router_tiles(input.experts, is_wide);
    const auto* w = require_address<const float>(input.w, "w");
    const SplitWeights weights(op, input.dtype, w, input.hidden, input.experts, tiles);
    const RouterOperands<T> a = {
        .x = require_address<const T>(input.x, "x"),
        .w = w,
        .weights = weights.data(),
        .weight_tiles = weights.tiles(),
        .tokens = input.tokens,
        .hidden = input.hidden,
        .experts = input.experts,
    };
    if (!is_wide) {
      body(a, std::integral_constant<int, 4>{}, std::false_type{});
    } else if (tiles == 1) {
      body(a, std::integral_constant<int, 1>{}, std::true_type{});
    } else if (tiles == 2) {
      body(a, std::integral_constant<int, 2>{}, std::true_type{});
    } else if (tiles == 4) {
      body(a, std::integral_constant<int, 4>{}, std::true_type{});
    } else {
      body(a, std::integral_constant<int, 8>{}, std::true_type{});
    }
  });
}

// The blocks of the product: [tiles of tokens, tiles of experts].
inline dim3 router_grid(int tokens, int experts, int tiles) {
  return dim3((tokens - 1) / kTileTokens + 1, (experts - 1) / (tiles * kTileColumns) + 1);
}

}  // namespace remoe
