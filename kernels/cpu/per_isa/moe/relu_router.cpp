// ReLU routing: gates = ReLU(x W), equation 5 of the paper, with the regularisation's gradient.
#include "per_isa/kernels.h"
#include "per_isa/moe/router_tile.h"

namespace remoe::REMOE_TARGET {

void relu_router_forward(Context& context, float* gates, int32_t* mask, int32_t* counts,
                         float* gate_sums, const float* x, const float* w, int tokens, int hidden,
                         int experts) {
  RouterStatistics statistics(context, tokens, experts);
  const int words = (experts - 1) / 32 + 1;
  for_each_logit_tile(
      context, gates, x, w, tokens, hidden, experts, [&](int begin, int end, int64_t tile) {
        int32_t* tile_counts = statistics.counts(tile);
        float* tile_sums = statistics.sums(tile);
        for (int64_t t = begin; t < end; ++t) {
          float* row = gates + t * experts;
          // Written so that NaN stays NaN: a diverged run must show, not route nothing.
          for (int e = 0; e < experts; ++e) row[e] = row[e] <= 0.0f ? 0.0f : row[e];
          for (int e = 0; e < experts; ++e) tile_sums[e] += row[e];
          count_routed(row, experts, tile_counts, mask ? mask + t * words : nullptr);
        }
      });
  statistics.reduce(counts, gate_sums);
}

// The loss is L_lm + lambda L_reg with L_reg = 1/(L T) sum_l sum_t sum_e f_e gate_te (equations 9
// to 11). f is a count, constant for the gradient, so dL/dgate = dgate + lambda f_e / (L T); ReLU
// passes it where the gate is open and nothing elsewhere.
void relu_router_gradient(Context& context, float* dlogits, const float* dgates, const float* gates,
                          const int32_t* counts, const double* lambda, int balance, double active,
                          double scale, int tokens, int experts) {
  Scratch<float> penalty(context, experts);
  for (int e = 0; e < experts; ++e) {
    double f = 0;
    if (balance == REMOE_BALANCE_PLAIN) f = 1;
    if (balance == REMOE_BALANCE_LOAD)
      f = experts * static_cast<double>(counts[e]) / (active * tokens);
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
