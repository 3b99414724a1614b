// The mask and counts of a routing that is given by values, not made by one of the routers.
#include "per_isa/moe/routing_mask.h"

#include <algorithm>

#include "per_isa/kernel.h"
#include "runtime/dtype.h"
#include "runtime/parallel.h"

namespace remoe::REMOE_TARGET {
namespace {

// Large enough that adding up the blocks' counts is little beside the pass over the values.
constexpr int kBlockTokens = 256;

}  // namespace

void routing_mask(Context& context, int32_t* mask, int32_t* counts, const float* values, int tokens,
                  int experts) {
  const int64_t blocks = (tokens + kBlockTokens - 1) / kBlockTokens;
  Scratch<int32_t> memory(context, blocks * experts);
  const int words = mask_words(experts);
  parallel_tasks(context, blocks, [&](int64_t block, int) {
    int32_t* own = memory.data() + block * experts;
    std::fill(own, own + experts, 0);
    const int64_t end = std::min<int64_t>(tokens, (block + 1) * kBlockTokens);
    for (int64_t t = block * kBlockTokens; t < end; ++t) {
      write_mask(mask + t * words, own, values + t * experts, experts);
    }
  });
  std::fill(counts, counts + experts, 0);
  for (int64_t block = 0; block < blocks; ++block) {
    for (int e = 0; e < experts; ++e) counts[e] += memory.data()[block * experts + e];
  }
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(routing_mask)

using namespace remoe;

int32_t remoe_routing_mask(uint64_t context, uint64_t mask, uint64_t counts, uint64_t values,
                           int32_t tokens, int32_t experts) {
  return guard(context, "routing_mask", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    REMOE_DISPATCH(open, routing_mask, require_address<int32_t>(mask, "mask"),
                   require_address<int32_t>(counts, "counts"),
                   require_address<const float>(values, "values"), tokens, experts);
  });
}
#endif  // REMOE_ENTRY_POINTS
