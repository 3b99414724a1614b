// TopK routing: softmax over all experts, then the k largest; and the gradient of Switch's load
// balancing loss.
#include <limits>

#include "per_isa/kernel.h"
#include "per_isa/moe/router_tile.h"
#include "runtime/expert_weight.h"

namespace remoe::REMOE_TARGET {
namespace {

void softmax_in_place(float* row, int count) {
  float largest = -std::numeric_limits<float>::infinity();
  for (int e = 0; e < count; ++e) largest = std::max(largest, row[e]);
  map(row, row, count, [=](Vec v) { return exponential(v - largest); });
  float total = 0;
  for (int e = 0; e < count; ++e) total += row[e];
  const float inverse = 1.0f / total;
  for (int e = 0; e < count; ++e) row[e] *= inverse;
}

// gates = p of the k largest, ties to the lower expert; 0 elsewhere. One pass over the experts for
// each of the k: E k comparisons, fewer than the E D multiply-adds that produced the logits.
void select_largest(float* gates, const float* p, int experts, int active, bool renormalize) {
  // Chosen experts are marked by 1 in `gates` until all are known.
  for (int e = 0; e < experts; ++e) gates[e] = 0.0f;
  float total = 0;
  for (int chosen = 0; chosen < active; ++chosen) {
    int best = -1;
    for (int e = 0; e < experts; ++e) {
      if (gates[e] == 0.0f && (best < 0 || p[e] > p[best])) best = e;
    }
    gates[best] = 1.0f;
    total += p[best];
  }
  const float factor = renormalize ? 1.0f / total : 1.0f;
  for (int e = 0; e < experts; ++e) gates[e] = gates[e] != 0.0f ? p[e] * factor : 0.0f;
}

}  // namespace

void topk_router_forward(Context& context, float* gates, float* probabilities, int32_t* mask,
                         int32_t* counts, float* probability_sums, const float* x, const float* w,
                         int tokens, int hidden, int experts, int active, bool renormalize) {
  RouterStatistics statistics(context, tokens, experts);
  const int words = (experts - 1) / 32 + 1;
  for_each_logit_tile(context, probabilities, x, w, tokens, hidden, experts,
                      [&](int begin, int end, int64_t tile) {
                        int32_t* tile_counts = statistics.counts(tile);
                        float* tile_sums = statistics.sums(tile);
                        for (int64_t t = begin; t < end; ++t) {
                          float* p = probabilities + t * experts;
                          softmax_in_place(p, experts);
                          for (int e = 0; e < experts; ++e) tile_sums[e] += p[e];
                          select_largest(gates + t * experts, p, experts, active, renormalize);
                          count_routed(gates + t * experts, experts, tile_counts,
                                       mask ? mask + t * words : nullptr);
                        }
                      });
  statistics.reduce(counts, probability_sums);
}

// With S the chosen experts and s = sum of p over S:
//   plain         gate_e = p_e            dp_e = dgate_e
//   renormalised  gate_e = p_e / s        dp_e = (dgate_e - sum_{i in S} dgate_i gate_i) / s
// for e in S, 0 elsewhere. The balance loss c E/(k T^2) sum_e n_e sum_t p_te adds c E n_e/(k T) / T
// to every dp_e (n is a count, constant for the gradient). Softmax: dlogit = p (dp - <dp, p>).
void topk_router_gradient(Context& context, float* dlogits, const float* dgates, const float* gates,
                          const float* probabilities, const int32_t* counts, double scale,
                          int tokens, int experts, int active, bool renormalize) {
  Scratch<float> balance(context, experts);
  for (int e = 0; e < experts; ++e) {
    const double f = expert_weight(REMOE_BALANCE_SWITCH, counts, e, experts, active, tokens);
    balance[e] = static_cast<float>(scale * f);
  }
  parallel_ranges(context, tokens, int64_t{4} * experts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* gate = gates + t * experts;
      const float* dgate = dgates + t * experts;
      const float* p = probabilities + t * experts;
      float* out = dlogits + t * experts;
      float mean = 0, inverse = 1;
      if (renormalize) {
        float chosen = 0;
        for (int e = 0; e < experts; ++e) {
          mean += gate[e] * dgate[e];
          chosen += gate[e] != 0.0f ? p[e] : 0.0f;
        }
        inverse = 1.0f / chosen;
      }
      float projection = 0;
      for (int e = 0; e < experts; ++e) {
        const float dp = (gate[e] != 0.0f ? (dgate[e] - mean) * inverse : 0.0f) + balance[e];
        out[e] = dp;
        projection += dp * p[e];
      }
      for (int e = 0; e < experts; ++e) out[e] = p[e] * (out[e] - projection);
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(topk_router_forward)
REMOE_KERNEL(topk_router_gradient)

using namespace remoe;

int32_t remoe_topk_router_forward(uint64_t context, uint64_t gates, uint64_t probabilities,
                                  uint64_t mask, uint64_t counts, uint64_t probability_sums,
                                  uint64_t x, uint64_t w, int32_t tokens, int32_t hidden,
                                  int32_t experts, int32_t active, int32_t renormalize) {
  return guard(context, "topk_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but must be 1 to %d of %d experts", active, experts, experts);
    REMOE_DISPATCH(open, topk_router_forward, require_address<float>(gates, "gates"),
                   require_address<float>(probabilities, "probabilities"),
                   optional_address<int32_t>(mask, "mask"),
                   require_address<int32_t>(counts, "counts"),
                   require_address<float>(probability_sums, "probability_sums"),
                   require_address<const float>(x, "x"), require_address<const float>(w, "w"),
                   tokens, hidden, experts, active, renormalize != 0);
  });
}

int32_t remoe_topk_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t probabilities, uint64_t counts,
                                   double scale, int32_t tokens, int32_t experts, int32_t active,
                                   int32_t renormalize) {
  return guard(context, "topk_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but must be 1 to %d of %d experts", active, experts, experts);
    REMOE_DISPATCH(open, topk_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   require_address<const float>(probabilities, "probabilities"),
                   require_address<const int32_t>(counts, "counts"), scale, tokens, experts, active,
                   renormalize != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS
