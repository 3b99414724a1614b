// Expert Choice routing (Zhou et al., arXiv:2202.09368): each expert takes the tokens of a group
// that are likeliest to be its own.
#include <algorithm>
#include <bit>

#include "per_isa/kernel.h"
#include "per_isa/moe/router_tile.h"
#include "per_isa/moe/routing_mask.h"
#include "per_isa/moe/softmax_row.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

// Orders the tokens of a group for one expert: probabilities descending, ties by position. No two
// keys of a group are equal, so a selection does not depend on the algorithm. Bits of floats from 0
// on order like the floats. NaN, of either sign, comes first, so that a diverged run shows.
REMOE_INLINE uint64_t key_of(float probability, int64_t position) {
  const bool is_nan = probability != probability;
  const uint32_t rank = is_nan ? ~uint32_t{0} : std::bit_cast<uint32_t>(probability);
  return uint64_t{rank} << 32 | (~uint32_t{0} - static_cast<uint32_t>(position));
}

struct Groups {
  int64_t tokens;
  int64_t size;
  int64_t capacity;

  int64_t count() const { return (tokens + size - 1) / size; }
  int64_t length(int64_t index) const { return std::min(size, tokens - index * size); }
  // Tokens that each expert takes; of a shorter group, the same share.
  int64_t taken(int64_t index) const { return (length(index) * capacity + size - 1) / size; }
};

// The key of the last token that an expert takes from a group.
uint64_t smallest_taken(const float* probabilities, int experts, int64_t length, int64_t taken,
                        uint64_t* keys) {
  for (int64_t i = 0; i < length; ++i) keys[i] = key_of(probabilities[i * experts], i);
  // With a comparison of this file's own: the linker would share std::greater's among targets.
  std::nth_element(keys, keys + taken - 1, keys + length,
                   [](uint64_t a, uint64_t b) { return a > b; });
  return keys[taken - 1];
}

// Gates and mask of one token from its probabilities and its group's thresholds.
void route_token(float* gate, int32_t* mask, const float* p, const uint64_t* thresholds,
                 int64_t position, int experts) {
  for (int first = 0; first < experts; first += 32) {
    const int end = std::min(experts, first + 32);
    uint32_t word = 0;
    for (int e = first; e < end; ++e) {
      const bool taken = key_of(p[e], position) >= thresholds[e];
      gate[e] = taken ? p[e] : 0.0f;
      word |= static_cast<uint32_t>(taken) << (e - first);
    }
    mask[first / 32] = static_cast<int32_t>(word);
  }
}

}  // namespace

void expert_choice_router_forward(Context& context, float* gates, float* probabilities,
                                  int32_t* mask, int32_t* counts, Activations x, const float* w,
                                  int tokens, int hidden, int experts, int group, int capacity) {
  const Groups groups{tokens, group, capacity};
  const int64_t longest = groups.length(0);
  Scratch<uint64_t> thresholds(context, groups.count() * experts);
  Scratch<uint64_t> keys(context, context.threads * longest);
  for_each_logit_tile(context, probabilities, x, w, tokens, hidden, experts,
                      [&](int begin, int end, int64_t) {
                        for (int64_t t = begin; t < end; ++t) {
                          softmax_in_place(probabilities + t * experts, experts);
                        }
                      });
  parallel_tasks(context, groups.count() * experts, [&](int64_t task, int thread) {
    const int64_t index = task / experts;
    const float* column = probabilities + index * group * experts + task % experts;
    thresholds[task] = smallest_taken(column, experts, groups.length(index), groups.taken(index),
                                      keys.data() + thread * longest);
  });
  const int words = mask_words(experts);
  parallel_ranges(context, tokens, int64_t{4} * experts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      route_token(gates + t * experts, mask + t * words, probabilities + t * experts,
                  thresholds.data() + t / group * experts, t % group, experts);
    }
  });
  int64_t taken = 0;
  for (int64_t index = 0; index < groups.count(); ++index) taken += groups.taken(index);
  std::fill(counts, counts + experts, static_cast<int32_t>(taken));
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(expert_choice_router_forward)

using namespace remoe;

int32_t remoe_expert_choice_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                           uint64_t probabilities, uint64_t mask, uint64_t counts,
                                           uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                           int32_t experts, int32_t group, int32_t capacity) {
  return guard(context, "expert_choice_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    require_size(group, "group");
    require(capacity >= 1 && capacity <= group, REMOE_INVALID_ARGUMENT,
            "capacity is %d, but an expert takes 1 to %d of the %d tokens in a group", capacity,
            group, group);
    REMOE_DISPATCH(open, expert_choice_router_forward, require_address<float>(gates, "gates"),
                   require_address<float>(probabilities, "probabilities"),
                   require_address<int32_t>(mask, "mask"),
                   require_address<int32_t>(counts, "counts"), require_activations(x, dtype, "x"),
                   require_address<const float>(w, "w"), tokens, hidden, experts, group, capacity);
  });
}
#endif  // REMOE_ENTRY_POINTS
