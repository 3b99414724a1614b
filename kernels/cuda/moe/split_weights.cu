#include "moe/split_weights.h"

namespace remoe {
namespace {

// Small blocks, so that many multiprocessors wait for memory at once.
constexpr int kThreads = 64;

struct SplitArguments {
  uint4* fragments;
  const float* w;
  int hidden;
  int experts;
  int tiles;
  int places;  // chunks times tiles
};

// A warp takes a chunk and tile.
template <class T>
__global__ void __launch_bounds__(kThreads) split_weights_kernel(SplitArguments a) {
  const int thread = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const int place = thread / 32;
  if (place >= a.places) return;
  uint4 terms[kTerms];
  split_weights<T>(terms, a.w, a.hidden, a.experts, place / a.tiles,
                   place % a.tiles * kTileColumns);
#pragma unroll
  for (int term = 0; term < kTerms; term++) {
    a.fragments[(static_cast<size_t>(place) * kTerms + term) * 32 + thread % 32] = terms[term];
  }
}

int tiles_of(int experts, int multiple) {
  const int columns = multiple * kTileColumns;
  return ((experts - 1) / columns + 1) * multiple;
}

}  // namespace

SplitWeights::SplitWeights(Operation& op, const RouterInput& input, int multiple)
    : chunks_((input.hidden - 1) / kChunkDepth + 1),
      tiles_(tiles_of(input.experts, multiple)),
      fragments_(op, static_cast<size_t>(chunks_) * tiles_ * kTerms * 32) {
  const SplitArguments a = {
      .fragments = fragments_.data(),
      .w = require_address<const float>(input.w, "w"),
      .hidden = input.hidden,
      .experts = input.experts,
      .tiles = tiles_,
      .places = chunks_ * tiles_,
  };
  with_activations(input.dtype, [&](auto element) {
    op.launch(split_weights_kernel<decltype(element)>, dim3((a.places - 1) / (kThreads / 32) + 1),
              dim3(kThreads), 0, a);
  });
}

}  // namespace remoe
