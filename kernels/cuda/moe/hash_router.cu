// Hash routing: a token's id alone names its expert.

#include "moe/routing_mask.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kMaximumBlocks = 4096;

// Floor modulo, so that ids of either sign fall on the experts in turn.
__device__ __forceinline__ int expert_of(int32_t id, int experts) {
  const int remainder = id % experts;
  return remainder < 0 ? remainder + experts : remainder;
}

// One thread per pair, so that the gates are written in whole lines.
__global__ void __launch_bounds__(kThreads)
    hash_gates_kernel(float* gates, const int32_t* token_ids, size_t pairs, int experts) {
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads;
  size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; i < pairs; i += stride) {
    const size_t token = i / experts;
    const int expert = static_cast<int>(i - token * experts);
    gates[i] = expert == expert_of(token_ids[token], experts) ? 1.0f : 0.0f;
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_hash_router_forward(uint64_t context, uint64_t gates, uint64_t mask, uint64_t counts,
                                  uint64_t token_ids, int32_t tokens, int32_t experts) {
  using namespace remoe;
  return guard(context, "hash_router_forward", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    auto* gate_values = require_address<float>(gates, "gates");
    auto* bits = require_address<uint32_t>(mask, "mask");
    auto* totals = require_address<int32_t>(counts, "counts");
    const auto* ids = require_address<const int32_t>(token_ids, "token_ids");
    const size_t pairs = static_cast<size_t>(tokens) * experts;
    op.launch(hash_gates_kernel, dim3(grid_blocks(pairs, kThreads, kMaximumBlocks)), dim3(kThreads),
              0, gate_values, ids, pairs, experts);
    routing_mask(op, bits, totals, gate_values, tokens, experts);
  });
}
