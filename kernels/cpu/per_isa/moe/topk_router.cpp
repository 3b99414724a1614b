// TopK routing: the k largest of the softmax over all experts; with the gradients of Switch's load
// balancing loss and of the z-loss.
#include "per_isa/kernel.h"
#include "per_isa/moe/choose_largest.h"
#include "per_isa/moe/router_tile.h"
#include "per_isa/moe/routing_mask.h"
#include "per_isa/moe/softmax_row.h"
#include "runtime/expert_weight.h"

namespace remoe::REMOE_TARGET {
namespace {

// 1 over the sum of the chosen probabilities: at most E, since the largest of all is among them.
float inverse_of_chosen(const int32_t* mask, const float* p, int experts) {
  float total = 0;
  for_each_routed(mask, experts, [&](int e) { total += p[e]; });
  return 1.0f / total;
}

}  // namespace

void topk_router_forward(Context& context, float* gates, float* probabilities, int32_t* mask,
                         int32_t* counts, float* probability_sums, float* normalizer, float* z_sum,
                         Activations x, const float* w, int tokens, int hidden, int experts,
                         int active, bool renormalize) {
  RouterStatistics statistics(context, tokens, experts);
  Scratch<float> z_sums(context, statistics.tiles());
  const int words = mask_words(experts);
  for_each_logit_tile(
      context, probabilities, x, w, tokens, hidden, experts, [&](int begin, int end, int64_t tile) {
        int32_t* tile_counts = statistics.counts(tile);
        float* tile_sums = statistics.sums(tile);
        z_sums[tile] = 0;
        for (int64_t t = begin; t < end; ++t) {
          float* p = probabilities + t * experts;
          float* gate = gates + t * experts;
          // By logits, since probabilities that underflowed would all tie.
          choose_largest(gate, p, experts, active);
          write_mask(mask + t * words, tile_counts, gate, experts);
          const float z = softmax_in_place(p, experts);
          z_sums[tile] += z * z;
          if (normalizer != nullptr) normalizer[t] = z;
          for (int e = 0; e < experts; ++e) tile_sums[e] += p[e];
          const float factor = renormalize ? inverse_of_chosen(mask + t * words, p, experts) : 1.0f;
          for (int e = 0; e < experts; ++e) gate[e] = gate[e] != 0.0f ? p[e] * factor : 0.0f;
        }
      });
  statistics.reduce(counts, probability_sums);
  if (z_sum == nullptr) return;
  double sum = 0;
  for (int64_t tile = 0; tile < statistics.tiles(); ++tile) sum += z_sums[tile];
  *z_sum = static_cast<float>(sum);
}

// With S the chosen experts and s = sum of p over S:
//   plain         gate_e = p_e            dp_e = dgate_e
//   renormalised  gate_e = p_e / s        dp_e = (dgate_e - sum_{i in S} dgate_i gate_i) / s
// for e in S, 0 elsewhere. The balance loss c E/(k T^2) sum_e n_e sum_t p_te adds c E n_e/(k T) / T
// to every dp_e (n is a count, constant for the gradient). Softmax: dlogit = p (dp - <dp, p>). The
// z-loss z sum_t lse_t^2 adds 2 z lse_t p_te, since dlse/dlogit = p.
void topk_router_gradient(Context& context, float* dlogits, const float* dgates, const float* gates,
                          const int32_t* mask, const float* probabilities, const float* normalizer,
                          const int32_t* counts, double scale, double z_scale, int tokens,
                          int experts, int active, bool renormalize) {
  Scratch<float> balance(context, experts);
  for (int e = 0; e < experts; ++e) {
    const double f = expert_weight(REMOE_BALANCE_SWITCH, counts, e, experts, active, tokens);
    balance[e] = static_cast<float>(scale * f);
  }
  const float z_factor = static_cast<float>(2 * z_scale);
  const int words = mask_words(experts);
  parallel_ranges(context, tokens, int64_t{4} * experts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int32_t* routed = mask + t * words;
      const float* gate = gates + t * experts;
      const float* dgate = dgates + t * experts;
      const float* p = probabilities + t * experts;
      float* out = dlogits + t * experts;
      float mean = 0, inverse = 1;
      if (renormalize) {
        for_each_routed(routed, experts, [&](int e) { mean += gate[e] * dgate[e]; });
        inverse = inverse_of_chosen(routed, p, experts);
      }
      for (int e = 0; e < experts; ++e) out[e] = balance[e];
      for_each_routed(routed, experts, [&](int e) { out[e] += (dgate[e] - mean) * inverse; });
      float projection = 0;
      for (int e = 0; e < experts; ++e) projection += out[e] * p[e];
      const float shift = (z_factor == 0 ? 0.0f : z_factor * normalizer[t]) - projection;
      for (int e = 0; e < experts; ++e) out[e] = p[e] * (out[e] + shift);
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(topk_router_forward)
REMOE_KERNEL(topk_router_gradient)

using namespace remoe;

int32_t remoe_topk_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                  uint64_t probabilities, uint64_t mask, uint64_t counts,
                                  uint64_t probability_sums, uint64_t normalizer, uint64_t z_sum,
                                  uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                  int32_t experts, int32_t active, int32_t renormalize) {
  return guard(context, "topk_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but a token has 1 to %d of %d experts", active, experts, experts);
    REMOE_DISPATCH(
        open, topk_router_forward, require_address<float>(gates, "gates"),
        require_address<float>(probabilities, "probabilities"),
        require_address<int32_t>(mask, "mask"), require_address<int32_t>(counts, "counts"),
        require_address<float>(probability_sums, "probability_sums"),
        optional_address<float>(normalizer, "normalizer"), optional_address<float>(z_sum, "z_sum"),
        require_activations(x, dtype, "x"), require_address<const float>(w, "w"), tokens, hidden,
        experts, active, renormalize != 0);
  });
}

int32_t remoe_topk_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t mask, uint64_t probabilities,
                                   uint64_t normalizer, uint64_t counts, double scale,
                                   double z_scale, int32_t tokens, int32_t experts, int32_t active,
                                   int32_t renormalize) {
  return guard(context, "topk_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but a token has 1 to %d of %d experts", active, experts, experts);
    require(z_scale == 0 || normalizer != 0, REMOE_INVALID_ARGUMENT,
            "the address of normalizer is 0, which only z_scale 0 allows");
    REMOE_DISPATCH(open, topk_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   require_address<const int32_t>(mask, "mask"),
                   require_address<const float>(probabilities, "probabilities"),
                   optional_address<const float>(normalizer, "normalizer"),
                   require_address<const int32_t>(counts, "counts"), scale, z_scale, tokens,
                   experts, active, renormalize != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS
