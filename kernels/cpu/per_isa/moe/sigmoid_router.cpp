// Sigmoid routing (DeepSeek-V3, arXiv:2412.19437, equations 13 to 16): the k experts with the
// largest score + bias, gated by their scores alone.
#include "per_isa/kernel.h"
#include "per_isa/moe/choose_largest.h"
#include "per_isa/moe/router_tile.h"
#include "per_isa/moe/routing_mask.h"
#include "runtime/dtype.h"

namespace remoe::REMOE_TARGET {
namespace {

// Added to the sum of a token's scores, which may all underflow; as DeepSeek-V3's code does.
constexpr float kEpsilon = 1e-20f;

float inverse_of_scores(const int32_t* mask, const float* scores, int experts) {
  float total = 0;
  for_each_routed(mask, experts, [&](int e) { total += scores[e]; });
  return 1.0f / (total + kEpsilon);
}

}  // namespace

void sigmoid_router_forward(Context& context, float* gates, float* scores, int32_t* mask,
                            int32_t* counts, float* score_sums, const float* bias, Activations x,
                            const float* w, int tokens, int hidden, int experts, int active,
                            bool normalize) {
  RouterStatistics statistics(context, tokens, experts);
  Scratch<float> biased(context, static_cast<std::size_t>(statistics.tiles()) * experts);
  const int words = mask_words(experts);
  for_each_logit_tile(
      context, scores, x, w, tokens, hidden, experts, [&](int begin, int end, int64_t tile) {
        int32_t* tile_counts = statistics.counts(tile);
        float* tile_sums = statistics.sums(tile);
        float* ranks = biased.data() + tile * experts;
        for (int64_t t = begin; t < end; ++t) {
          int32_t* routed = mask + t * words;
          float* score = scores + t * experts;
          float* gate = gates + t * experts;
          map(score, score, experts, [](Vec v) { return sigmoid(v); });
          for (int e = 0; e < experts; ++e) tile_sums[e] += score[e];
          for (int e = 0; e < experts; ++e) ranks[e] = score[e] + (bias ? bias[e] : 0.0f);
          choose_largest(gate, ranks, experts, active);
          write_mask(routed, tile_counts, gate, experts);
          const float factor = normalize ? inverse_of_scores(routed, score, experts) : 1.0f;
          for (int e = 0; e < experts; ++e) gate[e] = gate[e] != 0.0f ? score[e] * factor : 0.0f;
        }
      });
  statistics.reduce(counts, score_sums);
}

// With S the chosen experts, v = sum of their scores and c the epsilon:
//   plain       gate_e = s_e            ds_e = dgate_e
//   normalised  gate_e = s_e / (v + c)  ds_e = (dgate_e - sum_{i in S} dgate_i gate_i) / (v + c)
// for e in S, 0 elsewhere. Sigmoid: dlogit = ds s (1 - s).
void sigmoid_router_gradient(Context& context, float* dlogits, const float* dgates,
                             const float* gates, const int32_t* mask, const float* scores,
                             int tokens, int experts, bool normalize) {
  const int words = mask_words(experts);
  parallel_ranges(context, tokens, int64_t{2} * experts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int32_t* routed = mask + t * words;
      const float* gate = gates + t * experts;
      const float* dgate = dgates + t * experts;
      const float* score = scores + t * experts;
      float* out = dlogits + t * experts;
      float mean = 0, inverse = 1;
      if (normalize) {
        for_each_routed(routed, experts, [&](int e) { mean += gate[e] * dgate[e]; });
        inverse = inverse_of_scores(routed, score, experts);
      }
      for (int e = 0; e < experts; ++e) out[e] = 0.0f;
      for_each_routed(routed, experts, [&](int e) {
        out[e] = (dgate[e] - mean) * inverse * score[e] * (1.0f - score[e]);
      });
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(sigmoid_router_forward)
REMOE_KERNEL(sigmoid_router_gradient)

using namespace remoe;

int32_t remoe_sigmoid_router_forward(uint64_t context, int32_t dtype, uint64_t gates,
                                     uint64_t scores, uint64_t mask, uint64_t counts,
                                     uint64_t score_sums, uint64_t bias, uint64_t x, uint64_t w,
                                     int32_t tokens, int32_t hidden, int32_t experts,
                                     int32_t active, int32_t normalize) {
  return guard(context, "sigmoid_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    require(active >= 1 && active <= experts, REMOE_INVALID_ARGUMENT,
            "active is %d, but a token has 1 to %d of %d experts", active, experts, experts);
    REMOE_DISPATCH(open, sigmoid_router_forward, require_address<float>(gates, "gates"),
                   require_address<float>(scores, "scores"), require_address<int32_t>(mask, "mask"),
                   require_address<int32_t>(counts, "counts"),
                   require_address<float>(score_sums, "score_sums"),
                   optional_address<const float>(bias, "bias"), require_activations(x, dtype, "x"),
                   require_address<const float>(w, "w"), tokens, hidden, experts, active,
                   normalize != 0);
  });
}

int32_t remoe_sigmoid_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                      uint64_t gates, uint64_t mask, uint64_t scores,
                                      int32_t tokens, int32_t experts, int32_t normalize) {
  return guard(context, "sigmoid_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    REMOE_DISPATCH(open, sigmoid_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   require_address<const int32_t>(mask, "mask"),
                   require_address<const float>(scores, "scores"), tokens, experts, normalize != 0);
  });
}
#endif  // REMOE_ENTRY_POINTS
