#include "moe/split_weights.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;

struct SplitArguments {
  uint4* fragments;
  const float* w;
  int hidden;
  int experts;
  int tiles;
  int lanes;  // of all chunks and tiles

  __device__ __forceinline__ float at(int depth, int expert) const {
    const bool inside = depth < hidden && expert < experts;
    return inside ? w[static_cast<size_t>(depth) * experts + expert] : 0.0f;
  }
};

// One thread per lane of a chunk and tile.
template <class T>
__global__ void __launch_bounds__(kThreads) split_weights_kernel(SplitArguments a) {
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (i >= a.lanes) return;
  const int lane = i % 32;
  const int place = i / 32;
  const int expert = place % a.tiles * kTileColumns + lane / 4;
  const int first = place / a.tiles * kChunkDepth;
  Bf16Pair terms[4][kTerms];
#pragma unroll
  for (int pair = 0; pair < 4; pair++) {
    const int depth = first + depth_of<T>(pair / 2, lane % 4, pair % 2 * 2);
    split_pair(terms[pair], a.at(depth, expert), a.at(depth + 1, expert));
  }
#pragma unroll
  for (int term = 0; term < kTerms; term++) {
    a.fragments[(static_cast<size_t>(place) * kTerms + term) * 32 + lane] = {
        terms[0][term].bits, terms[1][term].bits, terms[2][term].bits, terms[3][term].bits};
  }
}

int tiles_of(int experts, int multiple) {
  const int columns = multiple * kTileColumns;
  return ((experts - 1) / columns + 1) * multiple;
}

}  // namespace

SplitWeights::SplitWeights(Operation& op, int32_t dtype, const float* w, int hidden, int experts,
                           int multiple)
    : chunks_((hidden - 1) / kChunkDepth + 1),
      tiles_(tiles_of(experts, multiple)),
      fragments_(op, static_cast<size_t>(chunks_) * tiles_ * kTerms * 32) {
  const int lanes = chunks_ * tiles_ * 32;
  const SplitArguments a = {
      .fragments = fragments_.data(),
      .w = w,
      .hidden = hidden,
      .experts = experts,
      .tiles = tiles_,
      .lanes = lanes,
  };
  with_activations(dtype, [&](auto element) {
    op.launch(split_weights_kernel<decltype(element)>, dim3((lanes - 1) / kThreads + 1),
              dim3(kThreads), 0, a);
  });
}

}  // namespace remoe
