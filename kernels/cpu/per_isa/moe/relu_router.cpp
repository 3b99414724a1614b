// ReLU routing: gates = ReLU(x W), equation 5 of the paper, or another activation that is 0 where
// ReLU is; and the gradient of its regularisation.
#include <cmath>

#include "per_isa/kernel.h"
#include "per_isa/moe/router_tile.h"
#include "per_isa/moe/routing_mask.h"
#include "runtime/expert_weight.h"

namespace remoe::REMOE_TARGET {

namespace {

// Turns the gates of ReLU into those of another activation.
void activate(int activation, float* row, int experts) {
  if (activation == REMOE_GATE_RELU_SQUARED) {
    for (int e = 0; e < experts; ++e) row[e] *= row[e];
  } else if (activation == REMOE_GATE_TANH) {
    for (int e = 0; e < experts; ++e) row[e] = std::tanh(row[e]);
  }
}

// The activation's derivative, from the gate: no logit is kept.
template <int kActivation>
float slope(float gate) {
  if constexpr (kActivation == REMOE_GATE_RELU_SQUARED) return 2.0f * std::sqrt(gate);
  if constexpr (kActivation == REMOE_GATE_TANH) return 1.0f - gate * gate;
  return 1.0f;
}

// `closed` holds the gradient of the logits whose gate is 0.
template <int kActivation>
void gate_gradient(Context& context, float* dlogits, const float* dgates, const float* gates,
                   const float* penalty, const float* closed, int tokens, int experts) {
  parallel_ranges(context, tokens, experts, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = t * experts;
      for (int e = 0; e < experts; ++e) {
        const float gate = gates[row + e];
        const float open = (dgates[row + e] + penalty[e]) * slope<kActivation>(gate);
        dlogits[row + e] = gate > 0.0f ? open : closed[e];
      }
    }
  });
}

}  // namespace

void relu_router_forward(Context& context, float* gates, int32_t* mask, int32_t* counts,
                         float* gate_sums, Activations x, const float* w, int tokens, int hidden,
                         int experts, int activation) {
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
                          activate(activation, row, experts);
                          for (int e = 0; e < experts; ++e) tile_sums[e] += row[e];
                          write_mask(mask + t * words, tile_counts, row, experts);
                        }
                      });
  statistics.reduce(counts, gate_sums);
}

// The loss is L_lm + lambda L_reg with L_reg = 1/(L T) sum_l sum_t sum_e f_e gate_te (equations 9
// to 11). f depends only on counts and is constant for the gradient, so dL/dgate = dgate + lambda
// f_e / (L T). ReLU passes it where the gate is open, and nothing elsewhere: only `revive` reaches
// an expert whose gates are all closed.
void relu_router_gradient(Context& context, float* dlogits, const float* dgates, const float* gates,
                          const int32_t* counts, const float* weights, const double* lambda,
                          int balance, int activation, double active, double scale, double revive,
                          int tokens, int experts) {
  Scratch<float> penalty(context, experts);
  Scratch<float> closed(context, experts);
  for (int e = 0; e < experts; ++e) {
    const double f = balance == REMOE_BALANCE_TRANSPORT
                         ? weights[e]
                         : expert_weight(balance, counts, e, experts, active, tokens);
    penalty[e] = f == 0 ? 0.0f : static_cast<float>(*lambda * f * scale);
    closed[e] = revive > 0 && counts[e] == 0 ? static_cast<float>(-revive * scale) : 0.0f;
  }
  const auto gradient = activation == REMOE_GATE_RELU_SQUARED
                            ? gate_gradient<REMOE_GATE_RELU_SQUARED>
                        : activation == REMOE_GATE_TANH ? gate_gradient<REMOE_GATE_TANH>
                                                        : gate_gradient<REMOE_GATE_RELU>;
  gradient(context, dlogits, dgates, gates, penalty.data(), closed.data(), tokens, experts);
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(relu_router_forward)
REMOE_KERNEL(relu_router_gradient)

using namespace remoe;

namespace {

void require_activation(int32_t activation) {
  require(activation >= REMOE_GATE_RELU && activation <= REMOE_GATE_TANH, REMOE_INVALID_ARGUMENT,
          "activation %d is unknown", activation);
}

bool counts_needed(int32_t balance, double revive) {
  return balance == REMOE_BALANCE_LOAD || balance == REMOE_BALANCE_LOAD_SQUARED || revive > 0;
}

}  // namespace

int32_t remoe_relu_router_forward(uint64_t context, int32_t dtype, uint64_t gates, uint64_t mask,
                                  uint64_t counts, uint64_t gate_sums, uint64_t x, uint64_t w,
                                  int32_t tokens, int32_t hidden, int32_t experts,
                                  int32_t activation) {
  return guard(context, "relu_router_forward", [&](Context& open) {
    require_activation(activation);
    require_size(tokens, "tokens");
    require_size(hidden, "hidden");
    require_size(experts, "experts");
    REMOE_DISPATCH(
        open, relu_router_forward, require_address<float>(gates, "gates"),
        require_address<int32_t>(mask, "mask"), require_address<int32_t>(counts, "counts"),
        require_address<float>(gate_sums, "gate_sums"), require_activations(x, dtype, "x"),
        require_address<const float>(w, "w"), tokens, hidden, experts, activation);
  });
}

int32_t remoe_relu_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t counts, uint64_t weights,
                                   uint64_t lambda, int32_t balance, int32_t activation,
                                   double active, double scale, double revive, int32_t tokens,
                                   int32_t experts) {
  return guard(context, "relu_router_gradient", [&](Context& open) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require_activation(activation);
    require(balance >= REMOE_BALANCE_NONE && balance <= REMOE_BALANCE_TRANSPORT &&
                balance != REMOE_BALANCE_SWITCH,
            REMOE_INVALID_ARGUMENT,
            "balance is %d, but the ReLU router supports none (0), plain (1), load (2), load "
            "squared (4) and transport (5)",
            balance);
    require(balance == REMOE_BALANCE_NONE || lambda != 0, REMOE_INVALID_ARGUMENT,
            "the address of lambda is 0, which only balance 0 allows");
    require(balance != REMOE_BALANCE_TRANSPORT || weights != 0, REMOE_INVALID_ARGUMENT,
            "the address of weights is 0, but balance %d weights the experts by them", balance);
    require(!counts_needed(balance, revive) || counts != 0, REMOE_INVALID_ARGUMENT,
            "the address of counts is 0, but balance %d with revive %g reads them", balance,
            revive);
    require((balance != REMOE_BALANCE_LOAD && balance != REMOE_BALANCE_LOAD_SQUARED) || active > 0,
            REMOE_INVALID_ARGUMENT, "active is %g, but must be above 0", active);
    require(revive >= 0, REMOE_INVALID_ARGUMENT, "revive is %g, but must be at least 0", revive);
    REMOE_DISPATCH(open, relu_router_gradient, require_address<float>(dlogits, "dlogits"),
                   require_address<const float>(dgates, "dgates"),
                   require_address<const float>(gates, "gates"),
                   optional_address<const int32_t>(counts, "counts"),
                   optional_address<const float>(weights, "weights"),
                   optional_address<const double>(lambda, "lambda"), balance, activation, active,
                   scale, revive, tokens, experts);
  });
}
#endif  // REMOE_ENTRY_POINTS
