// The routers' weights for the tensor cores: W as three bf16 terms, which add up to it exactly, in
// the order in which a warp reads them.
#pragma once

#include "device/bf16.h"
#include "moe/router_input.h"

namespace remoe {

constexpr int kTerms = 3;
// A multiply instruction takes 16 of the depth and 8 experts; a chunk of depth is two of them, for
// which a lane reads 16 bytes of bf16 x per token.
constexpr int kChunkDepth = 32;
constexpr int kTileColumns = 8;

// Sums may take the depth in any order, as long as x and W agree: `j`-th of the four columns (two
// pairs) that lane t of four holds of instruction `step` of a chunk. Those of both instructions are
// adjacent in bf16, those of one in fp32, so that x is read 16 bytes at a time.
template <class T>
__host__ __device__ __forceinline__ constexpr int depth_of(int step, int t, int j) {
  return sizeof(T) == sizeof(Bf16) ? 8 * t + 4 * step + j : 16 * step + 4 * t + j;
}

// x as the sum of bf16 terms, rounded to nearest: after three, nothing remains of an fp32. Of
// infinity the second term is NaN.
template <int kCount>
__device__ __forceinline__ void split_pair(Bf16Pair (&terms)[kCount], float low, float high) {
#pragma unroll
  for (int i = 0; i < kCount; i++) {
    terms[i] = to_bf16_pair(low, high);
    low -= low_of(terms[i]);
    high -= high_of(terms[i]);
  }
}

// A lane's terms of a chunk of W [D, E] and a tile of experts from `first` on, zeros outside: the
// operands of both instructions.
template <class T>
__device__ __forceinline__ void split_weights(uint4 (&to)[kTerms], const float* w, int hidden,
                                              int experts, int chunk, int first) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int expert = first + lane / 4;
  const auto at = [&](int depth) {
    const bool inside = depth < hidden && expert < experts;
    return inside ? w[static_cast<size_t>(depth) * experts + expert] : 0.0f;
  };
  Bf16Pair terms[4][kTerms];
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    const int depth = chunk * kChunkDepth + depth_of<T>(pair / 2, lane % 4, pair % 2 * 2);
    split_pair(terms[pair], at(depth), at(depth + 1));
  }
#pragma unroll
  for (int term = 0; term < kTerms; term++) {
    to[term] = {terms[0][term].bits, terms[1][term].bits, terms[2][term].bits, terms[3][term].bits};
  }
}

// The terms of all chunks and tiles, [chunks of depth][tiles of experts][kTerms][lanes].
class SplitWeights {
 public:
  // Enqueues the split, for tiles of experts up to a multiple of `multiple`.
  SplitWeights(Operation& op, const RouterInput& input, int multiple);

  const uint4* data() const { return fragments_.data(); }
  int tiles() const { return tiles_; }

 private:
  int chunks_;
  int tiles_;
  Scratch<uint4> fragments_;
};

}  // namespace remoe
