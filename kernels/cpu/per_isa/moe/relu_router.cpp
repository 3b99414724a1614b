// ReLU routing: gates = ReLU(x W), equation 5 of the paper, and the gradient of its regularisation.
#include "per_isa/kernel.h"
#include "per_isa/moe/router_tile.h"
#include "per_isa/moe/routing_mask.h"
#include "runtime/expert_weight.h"

namespace remoe::REMOE_TARGET {

void relu_router_forward(Context& context, float* gates, int32_t* mask, int32_t* counts,
                         float* gate_sums, const float* x, const float* w, int tokens, int hidden,
                         int experts) {
  RouterStatistics statistics(context, tokens, experts);
  const int words = mask_words(experts);
  for_each_logit_tile(context, gates, x, w, tokens, hidden, experts,
                      [&](int begin, int end, int64_t tile) {
                        int32_t* tile_counts = statistics.counts(tile);
                        float* tile_sums = statistics.sums(tile);
                        for (int64_t t = begin; t < end; ++t) {
                          float* row = gates + t * experts;
                          // Written so that NaN stays NaN: a diverged run must show, not route
                          // nothing.
                          for (int e = 0; e < experts; ++e) row[e] = row[e] <= 0.0f ? 0.0f : row[e];
                          for (int e = 0; e < experts; ++e) tile_sums[e] += row[e];
                          write_mask(mask + t * words, tile_counts, row, experts);
                        }
                      });
  statistics.reduce(counts, gate_sums);
}

// The loss is L_lm + lambda L_reg with L_reg = 1/(L T) sum_l sum_t sum_e f_e gate_te (equations 9
// to 11). f depends only on counts and is constant for the gradient, so dL/dgate = dgate + lambda
// f_e / (L T). ReLU passes it where the gate is open, and nothing elsewhere.
void relu_router_gradient(Context& context, float* dlogits, const float* dgates, const float* gates,
                          const int32_t* counts, const double* lambda, int balance, double active,
                          double scale, int tokens, int experts) {
  Scratch<float> penalty(context, experts);
  for (int e = 0; e < experts; ++e) {
    const double f = expert_weight(balance, counts, e, experts, active, tokens);
    penalty[e] = f == 0 ? 0.0f : static_cast<float>(*lambda * f * scale);
  }
  parallel_ranges(context, tokens, experts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = t * experts;
      for (int e = 0; e < experts; ++e) {
        dlogits[row + e] = gates[row + e] > 0.0f ? dgates[row + e] + penalty[e] : 0.0f;
      }
    }
  });
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(relu_router_forward)
REMOE_KERNEL(relu_router_gradient)

using namespace remoe;

int32_t remoe_relu_router_forward(uint64_t context, uint64_t gates, uint64_t mask, uint64_t counts,
                                  uint64_t gate_sums, uint64_t x, uint64_t w, int32_t tokens,
                                  int32_t hidden, int32_t experts) {
  return guard(context, "relu_router_forward", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    REMOE_DISPATCH(
        open, relu_router_forward, require_address<float>(gates, "gates"),
        require_address<int32_t>(mask, "mask"), require_address<int32_t>(counts, "counts"),
        require_address<float>(gate_sums, "gate_sums"), require_address<const float>(x, "x"),
        require_address<const float>(w, "w"), tokens, hidden, experts);
  });
}

int32_t remoe_relu_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t counts, uint64_t lambda,
                                   int32_t balance, double active, double scale, int32_t tokens,
                                   int32_t experts) {
  return guard(context, "relu_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(balance == REMOE_BALANCE_NONE || balance == REMOE_BALANCE_PLAIN ||
                balance == REMOE_BALANCE_LOAD,
            REMOE_INVALID_ARGUMENT,
            "balance is %d, but the ReLU router supports none (0), plain (1) and load (2)",
            balance);
    require(balance == REMOE_BALANCE_NONE || lambda != 0, REMOE_INVALID_ARGUMENT,
            "the address of lambda is 0, which only balance 0 allows");
    require(balance != REMOE_BALANCE_LOAD || counts != 0, REMOE_INVALID_ARGUMENT,
            "the address of counts is 0, but balance %d weights the experts by them", balance);
    require(balance != REMOE_BALANCE_LOAD || active > 0, REMOE_INVALID_ARGUMENT,
            "active is %g, but must be above 0", active);
    REMOE_DISPATCH(open, relu_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   optional_address<const int32_t>(counts, "counts"),
                   optional_address<const double>(lambda, "lambda"), balance, active, scale, tokens,
                   experts);
  });
}
#endif  // REMOE_ENTRY_POINTS
