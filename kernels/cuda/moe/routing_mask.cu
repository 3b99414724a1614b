// The mask and counts of a routing that is given by values, not made by one of the routers.
#include "device/block_scan.h"
#include "moe/routing_mask.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

struct MaskArguments {
  uint32_t* mask;
  int32_t* counts;
  const float* values;
  int tokens;
  int experts;
  int words;  // of 32 experts
};

__global__ void __launch_bounds__(kThreads) zero_counts_kernel(int32_t* counts, int experts) {
  const int expert = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (expert < experts) counts[expert] = 0;
}

// A warp takes 32 tokens by 32 experts, a lane an expert: the values are read in whole lines, and a
// ballot over the lanes is a word of the mask.
__global__ void __launch_bounds__(kThreads) routing_mask_kernel(MaskArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int group = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  const int word = static_cast<int>(blockIdx.y);
  const int expert = word * kWarp + lane;
  uint32_t own = 0;
  int32_t count = 0;
#pragma unroll 8
  for (int i = 0; i < kWarp; i++) {
    const int token = group * kWarp + i;
    const bool inside = token < a.tokens && expert < a.experts;
    const bool routed = inside && a.values[static_cast<size_t>(token) * a.experts + expert] != 0.0f;
    const uint32_t bits = __ballot_sync(kFullWarp, routed);
    if (lane == i) own = bits;
    count += routed ? 1 : 0;
  }
  const int token = group * kWarp + lane;
  if (token < a.tokens) a.mask[static_cast<size_t>(token) * a.words + word] = own;
  // Integers: the order of the additions does not show.
  if (count != 0) atomicAdd(&a.counts[expert], count);
}

}  // namespace

void routing_mask(Operation& op, uint32_t* mask, int32_t* counts, const float* values, int tokens,
                  int experts) {
  const MaskArguments a = {
      .mask = mask,
      .counts = counts,
      .values = values,
      .tokens = tokens,
      .experts = experts,
      .words = mask_words(experts),
  };
  const int groups = (tokens - 1) / kWarp + 1;
  op.launch(zero_counts_kernel, dim3((experts - 1) / kThreads + 1), dim3(kThreads), 0, a.counts,
            experts);
  op.launch(routing_mask_kernel, dim3((groups + kWarps - 1) / kWarps, a.words), dim3(kThreads), 0,
            a);
}

}  // namespace remoe

int32_t remoe_routing_mask(uint64_t context, uint64_t mask, uint64_t counts, uint64_t values,
                           int32_t tokens, int32_t experts) {
  using namespace remoe;
  return guard(context, "routing_mask", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    routing_mask(op, require_address<uint32_t>(mask, "mask"),
                 require_address<int32_t>(counts, "counts"),
                 require_address<const float>(values, "values"), tokens, experts);
  });
}
