// Hash routing: a token's id alone names its expert.
#include <algorithm>

#include "per_isa/kernel.h"
#include "per_isa/moe/routing_mask.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Large enough that adding up the blocks' counts is little beside writing the gates.
constexpr int kBlockTokens = 256;

// Floor modulo, so that ids of either sign fall on the experts in turn.
REMOE_INLINE int expert_of(int32_t id, int experts) {
  const int remainder = id % experts;
  return remainder < 0 ? remainder + experts : remainder;
}

}  // namespace

void hash_router_forward(Context& context, float* gates, int32_t* mask, int32_t* counts,
                         const int32_t* token_ids, int tokens, int experts) {
  const int64_t blocks = (int64_t{tokens} + kBlockTokens - 1) / kBlockTokens;
  Scratch<int32_t> memory(context, blocks * experts);
  const int words = mask_words(experts);
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    int32_t* own = memory.data() + block * experts;
    std::fill(own, own + experts, 0);
    const int64_t end = std::min<int64_t>(tokens, (block + 1) * kBlockTokens);
    for (int64_t t = block * kBlockTokens; t < end; ++t) {
      float* gate = gates + t * experts;
      std::fill(gate, gate + experts, 0.0f);
      gate[expert_of(token_ids[t], experts)] = 1.0f;
      write_mask(mask + t * words, own, gate, experts);
    }
  });
  std::fill(counts, counts + experts, 0);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int e = 0; e < experts; ++e) counts[e] += memory.data()[block * experts + e];
  }
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(hash_router_forward)

using namespace remoe;

int32_t remoe_hash_router_forward(uint64_t context, uint64_t gates, uint64_t mask, uint64_t counts,
                                  uint64_t token_ids, int32_t tokens, int32_t experts) {
  return guard(context, "hash_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    REMOE_DISPATCH(open, hash_router_forward, require_address<float>(gates, "gates"),
                   require_address<int32_t>(mask, "mask"),
                   require_address<int32_t>(counts, "counts"),
                   require_address<const int32_t>(token_ids, "token_ids"), tokens, experts);
  });
}
#endif  // REMOE_ENTRY_POINTS
