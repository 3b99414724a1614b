// The routers' product x W.
//
// Routing decisions hinge on the sign and the order of the logits, so they keep fp32's accuracy on
// the tensor cores: W, and x in fp32, are sums of three bf16 terms without a remainder. A product
// of two terms is exact in fp32, and those below 2^-26 of the largest are left out. What follows
// the first term has sums of its own, so that all but 1/256 of the sum is rounded once per
// instruction.
//
// x goes from memory straight into the registers of the lane that multiplies it, and the terms of W
// are in cache: there is nothing to share.
#pragma once

#include "device/mma.h"
#include "moe/router_tile.h"

namespace remoe {

template <class T>
struct RouterOperands {
  const T* x;            // [T, D]
  const float* w;        // [D, E]
  const uint4* weights;  // SplitWeights, or 0
  int weight_tiles;
  int tokens;
  int hidden;
  int experts;
};

// A lane's x of one chunk of depth, in registers on the way from memory: 8 elements of each of its
// tokens, zeros outside. kWide requires all rows to start at multiples of 16 bytes.
template <class T, class Shape, bool kWide>
struct TokenChunk {
  static constexpr int kVector = 16 / sizeof(T);
  static constexpr int kVectors = 8 / kVector;
  static constexpr int kTokenTerms = sizeof(T) == sizeof(Bf16) ? 1 : kTerms;
  Vector<T, kVector> x[Shape::kRows][2][kVectors];

  __device__ __forceinline__ void load(const RouterOperands<T>& a, const WarpTile<Shape>& own,
                                       int chunk) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
    for (int i = 0; i < 2 * Shape::kRows; i++) {
      const int token = own.token(i / 2, i % 2 * 2);
      const T* from = a.x + static_cast<size_t>(token) * a.hidden;
      const int size = token < a.tokens ? a.hidden : 0;
#pragma unroll
      for (int j = 0; j < kVectors; j++) {
        const int d = chunk * kChunkDepth + depth_of<T>(j, lane % 4, 0);
        Vector<T, kVector>& to = x[i / 2][i % 2][j];
        if constexpr (kWide) {
          to = d < size ? load_vector<T, kVector>(from + d) : Vector<T, kVector>{};
        } else {
#pragma unroll
          for (int e = 0; e < kVector; e++) to.element[e] = d + e < size ? from[d + e] : T{};
        }
      }
    }
  }

  // The operands of both instructions, in terms.
  __device__ __forceinline__ void split(uint32_t (&to)[Shape::kRows][2][kTokenTerms][4]) const {
#pragma unroll
    for (int place = 0; place < Shape::kRows * 8; place++) {
      const int row = place / 8, step = place / 4 % 2, i = place % 4;
      // Of the four elements of an instruction, the registers 0 and 1 have the first pair.
      const int first = step * 4 + i / 2 * 2;
      const T low = x[row][i % 2][first / kVector].element[first % kVector];
      const T high = x[row][i % 2][first / kVector].element[first % kVector + 1];
      Bf16Pair terms[kTokenTerms];
      if constexpr (kTokenTerms == 1) {
        terms[0].bits = low.bits | static_cast<uint32_t>(high.bits) << 16;
      } else {
        split_pair(terms, low, high);
      }
#pragma unroll
      for (int term = 0; term < kTokenTerms; term++) to[row][step][term][i] = terms[term].bits;
    }
  }
};

// A lane's W of one chunk of depth in terms: the operands of both instructions.
template <class Shape>
using WeightTerms = uint4[Shape::kTiles][kTerms];

template <class T, class Shape>
__device__ __forceinline__ void load_weights(WeightTerms<Shape>& to, const RouterOperands<T>& a,
                                             const WarpTile<Shape>& own, int chunk) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int tile = 0; tile < Shape::kTiles; tile++) {
    // own.expert() is a pair's: instructions take column lane / 4 of a tile.
    const int first = own.first_expert - lane % 4 * 2 + tile * kTileColumns;
    if constexpr (Shape::kSplitsBefore) {
      const size_t place = static_cast<size_t>(chunk) * a.weight_tiles + first / kTileColumns;
#pragma unroll
      for (int j = 0; j < kTerms; j++) to[tile][j] = a.weights[(place * kTerms + j) * kWarp + lane];
    } else {
      split_weights<T>(to[tile], a.w, a.hidden, a.experts, chunk, first);
    }
  }
}

// Adds the products of a chunk, in turn to sums that do not wait for each other. Those of the terms
// i and j are about 2^-8(i + j) of the first ones.
template <class T, class Shape, bool kWide>
__device__ __forceinline__ void multiply_chunk(const TokenChunk<T, Shape, kWide>& tokens,
                                               const WeightTerms<Shape>& w, Logits<Shape>& first,
                                               Logits<Shape>& rest) {
  constexpr int kTokenTerms = TokenChunk<T, Shape, kWide>::kTokenTerms;
  uint32_t x[Shape::kRows][2][kTokenTerms][4];
  tokens.split(x);
#pragma unroll
  for (int place = 0; place < kTerms * kTokenTerms * 2; place++) {
    const int j = place / 2 / kTokenTerms, i = place / 2 % kTokenTerms, step = place % 2;
    if (i + j >= kTerms) continue;
#pragma unroll
    for (int row = 0; row < Shape::kRows; row++) {
#pragma unroll
      for (int tile = 0; tile < Shape::kTiles; tile++) {
        float(&sums)[4] = i + j == 0 ? first[row][tile] : rest[row][tile];
        const uint4& terms = w[tile][j];
        multiply_16x8x16(sums, x[row][step][i], step == 0 ? terms.x : terms.z,
                         step == 0 ? terms.y : terms.w);
      }
    }
  }
}

// The sums of the warps that share the depth, one after the other, in the first of them.
template <class Shape>
struct SplitSums {
  static constexpr int kLanes = Shape::kSplitWarps * kWarp;
  float values[Shape::kSplits - 1][Shape::kRows * Shape::kTiles * 4][kLanes];

  __device__ __forceinline__ void join(const WarpTile<Shape>& own, Logits<Shape>& logits) {
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const auto place = [](int row, int tile, int i) {
      return (row * Shape::kTiles + tile) * 4 + i;
    };
    if (own.split > 0) {
      for_each_logit<Shape>([&](int row, int tile, int i) {
        values[own.split - 1][place(row, tile, i)][lane] = logits[row][tile][i];
      });
    }
    __syncthreads();
    if (own.split > 0) return;
#pragma unroll
    for (int split = 1; split < Shape::kSplits; split++) {
      for_each_logit<Shape>([&](int row, int tile, int i) {
        logits[row][tile][i] += values[split - 1][place(row, tile, i)][lane];
      });
    }
  }
};

// One warp has the whole depth.
template <int kRows, int kTiles, int kColumns>
struct SplitSums<RouterShape<kRows, kTiles, kColumns, 1>> {
  using Shape = RouterShape<kRows, kTiles, kColumns, 1>;
  __device__ __forceinline__ void join(const WarpTile<Shape>&, Logits<Shape>&) {}
};

// Infinity has a second term that is NaN, and so have its logits. Each NaN is computed again, as
// fp32 gives it: a diverged run is slow, but right.
template <class T, class Shape>
__device__ __forceinline__ void repair(const RouterOperands<T>& a, const WarpTile<Shape>& own,
                                       Logits<Shape>& logits) {
  static_assert(Shape::kRows * Shape::kTiles * 4 <= 32);
  const auto place = [](int row, int tile, int i) { return (row * Shape::kTiles + tile) * 4 + i; };
  uint32_t broken = 0;
  for_each_logit<Shape>([&](int row, int tile, int i) {
    const bool inside = own.token(row, i) < a.tokens && own.expert(tile, i) < a.experts;
    const bool is_nan = logits[row][tile][i] != logits[row][tile][i];
    broken |= (inside && is_nan ? 1u : 0u) << place(row, tile, i);
  });
  for (; broken != 0; broken &= broken - 1) {
    const int next = __ffs(static_cast<int>(broken)) - 1;
    const int token = own.token(next / 4 / Shape::kTiles, next % 4);
    const T* x = a.x + static_cast<size_t>(token) * a.hidden;
    const float* w = a.w + own.expert(next / 4 % Shape::kTiles, next % 4);
    float sum = 0.0f;
    for (int d = 0; d < a.hidden; d++)
      sum += to_float(x[d]) * w[static_cast<size_t>(d) * a.experts];
    for_each_logit<Shape>([&](int row, int tile, int i) {
      if (place(row, tile, i) == next) logits[row][tile][i] = sum;
    });
  }
}

// The logits of the warp's tokens and experts, in warps whose split is 0; outside the matrices they
// mean nothing. The chunks ahead are in flight from memory while one is multiplied: of 16,384
// tokens at least 32 KiB per multiprocessor, Hopper's latency times its bandwidth.
template <bool kWide, class T, class Shape>
__device__ __forceinline__ void router_product(SplitSums<Shape>& shared, const RouterOperands<T>& a,
                                               const WarpTile<Shape>& own, Logits<Shape>& logits) {
  constexpr int kChunkRegisters = sizeof(TokenChunk<T, Shape, kWide>) / sizeof(float);
  constexpr int kAhead = Shape::kRegistersAhead / kChunkRegisters;
  const int chunks = (a.hidden - 1) / kChunkDepth + 1;
  TokenChunk<T, Shape, kWide> next[kAhead];
  Logits<Shape> rest = {};
#pragma unroll
  for (int i = 0; i < kAhead; i++) next[i].load(a, own, own.split + i * Shape::kSplits);
  for (int first = own.split; first < chunks; first += kAhead * Shape::kSplits) {
#pragma unroll
    for (int i = 0; i < kAhead; i++) {
      const int chunk = first + i * Shape::kSplits;
      if (chunk >= chunks) break;
      WeightTerms<Shape> w;
      load_weights<T>(w, a, own, chunk);
      const TokenChunk<T, Shape, kWide> now = next[i];
      next[i].load(a, own, chunk + kAhead * Shape::kSplits);
      multiply_chunk(now, w, logits, rest);
    }
  }
  for_each_logit<Shape>(
      [&](int row, int tile, int i) { logits[row][tile][i] += rest[row][tile][i]; });
  shared.join(own, logits);
  if (own.split == 0) repair(a, own, logits);
}

}  // namespace remoe
