// Step state: the values that change from step to step, and the rules by which lambda moves.
#include <algorithm>
#include <cmath>

#include "runtime/context.h"
#include "runtime/expert_weight.h"

using namespace remoe;

namespace {

double* record_of(double* state, int32_t layer, int32_t experts) {
  return state + remoe_state_record(layer, experts);
}

// sum_e f_e P_e, weighted by T.
double weighted(const int32_t* counts, const float* sums, int32_t experts, int32_t balance,
                double active, double tokens) {
  if (balance == REMOE_BALANCE_NONE) return 0;
  double total = 0;
  for (int32_t e = 0; e < experts; ++e) {
    total += expert_weight(balance, counts, e, experts, active, tokens) * sums[e];
  }
  return total;
}

// Whether the arguments of a rule are in range.
void check_rule(int32_t rule, double alpha, double floor, double ceiling, double gain,
                double damping) {
  require(rule >= REMOE_LAMBDA_FIXED && rule <= REMOE_LAMBDA_PROPORTIONAL, REMOE_INVALID_ARGUMENT,
          "rule %d is unknown", rule);
  if (rule == REMOE_LAMBDA_FIXED) return;
  require(alpha > 0 && floor <= ceiling, REMOE_INVALID_ARGUMENT,
          "alpha %g must be above 0, and floor %g at most ceiling %g", alpha, floor, ceiling);
  if (rule == REMOE_LAMBDA_SIGN) return;
  require(alpha >= 1 && gain >= 0 && damping >= 0, REMOE_INVALID_ARGUMENT,
          "alpha %g must be at least 1, and gain %g and damping %g at least 0", alpha, gain,
          damping);
}

// The factor of proportional-integral control, whose integral is log(lambda) itself.
double proportional_factor(double excess, double last_excess, double alpha, double gain,
                           double damping) {
  const double change = gain * excess + damping * (excess - last_excess);
  return std::clamp(std::exp(change), 1 / alpha, alpha);
}

}  // namespace

int32_t remoe_state_begin(uint64_t context, uint64_t state, int32_t layers, int32_t experts) {
  return guard(context, "state_begin", [&](Context&) {
    double* values = require_address<double>(state, "state");
    require_size(layers, "layers");
    require_size(experts, "experts");
    for (const int slot : {REMOE_STATE_ACTIVE_PAIRS, REMOE_STATE_SPARSITY, REMOE_STATE_LOSS,
                           REMOE_STATE_L1, REMOE_STATE_BALANCE, REMOE_STATE_NOT_FINITE,
                           REMOE_STATE_OVERFLOW, REMOE_STATE_GRADIENT_NORM}) {
      values[slot] = 0;
    }
    values[REMOE_STATE_CLIP_SCALE] = 1;
    std::fill(record_of(values, 0, experts), record_of(values, layers, experts), 0.0);
  });
}

int32_t remoe_state_add(uint64_t context, uint64_t state, int32_t slot, uint64_t value,
                        double scale) {
  return guard(context, "state_add", [&](Context&) {
    double* values = require_address<double>(state, "state");
    require(slot >= 0 && slot < REMOE_STATE_HEADER, REMOE_INVALID_ARGUMENT,
            "slot is %d, but must be 0 to %d", slot, REMOE_STATE_HEADER - 1);
    values[slot] += scale * *require_address<const float>(value, "value");
  });
}

int32_t remoe_state_record_routing(uint64_t context, uint64_t state, int32_t layer, uint64_t plan,
                                   uint64_t counts, uint64_t sums, int32_t balance, double active,
                                   int32_t tokens, int32_t experts) {
  return guard(context, "state_record_routing", [&](Context&) {
    double* values = require_address<double>(state, "state");
    const int32_t* plan_head = require_address<const int32_t>(plan, "plan");
    const int32_t* count = require_address<const int32_t>(counts, "counts");
    const float* sum = optional_address<const float>(sums, "sums");
    require(layer >= 0, REMOE_INVALID_ARGUMENT, "layer is %d", layer);
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(balance >= REMOE_BALANCE_NONE && balance <= REMOE_BALANCE_LOAD_SQUARED,
            REMOE_INVALID_ARGUMENT, "balance %d is unknown", balance);
    require(active > 0, REMOE_INVALID_ARGUMENT, "active is %g, but must be above 0", active);
    double* record = record_of(values, layer, experts);
    record[REMOE_RECORD_TOKENS] += tokens;
    record[REMOE_RECORD_WITHOUT_EXPERT] += plan_head[REMOE_PLAN_WITHOUT_EXPERT];
    if (plan_head[REMOE_PLAN_OVERFLOW] != 0) values[REMOE_STATE_OVERFLOW] = 1;
    for (int32_t e = 0; e < experts; ++e) record[REMOE_RECORD_EXTRA + e] += count[e];
    if (sum == nullptr) return;
    const int slot =
        balance == REMOE_BALANCE_SWITCH ? REMOE_RECORD_BALANCE : REMOE_RECORD_REGULARIZATION;
    record[slot] += weighted(count, sum, experts, balance, active, tokens);
  });
}

int32_t remoe_state_update_lambda(uint64_t context, uint64_t state, int32_t layers, int32_t experts,
                                  double active, double tokens, double alpha, double floor,
                                  double ceiling, int32_t rule, double gain, double damping) {
  return guard(context, "state_update_lambda", [&](Context&) {
    double* values = require_address<double>(state, "state");
    require_size(layers, "layers");
    require_size(experts, "experts");
    require(tokens > 0, REMOE_INVALID_ARGUMENT, "tokens is %g, but must be above 0", tokens);
    check_rule(rule, alpha, floor, ceiling, gain, damping);
    // Counts are integers, so their sum is exact, and which side of the target it falls on does not
    // depend on the order of summation.
    double pairs = 0, regularized = 0, balance = 0;
    for (int32_t layer = 0; layer < layers; ++layer) {
      const double* record = record_of(values, layer, experts);
      for (int32_t e = 0; e < experts; ++e) pairs += record[REMOE_RECORD_EXTRA + e];
      regularized += record[REMOE_RECORD_REGULARIZATION];
      balance += record[REMOE_RECORD_BALANCE] / tokens;
    }
    const double routed = layers * tokens;
    values[REMOE_STATE_ACTIVE_PAIRS] = pairs;
    values[REMOE_STATE_SPARSITY] = 1 - pairs / (experts * routed);
    values[REMOE_STATE_L1] = regularized / routed;
    values[REMOE_STATE_BALANCE] = balance;
    if (rule == REMOE_LAMBDA_FIXED || values[REMOE_STATE_OVERFLOW] != 0) return;
    const double lambda = values[REMOE_STATE_LAMBDA];
    const double target = active * routed;
    double moved = lambda;
    if (rule == REMOE_LAMBDA_SIGN) {
      moved = pairs > target ? lambda * alpha : pairs < target ? lambda / alpha : lambda;
    } else {
      double& last_excess = values[REMOE_STATE_EXCESS];
      const double excess = pairs / target - 1;
      moved = lambda * proportional_factor(excess, last_excess, alpha, gain, damping);
      last_excess = excess;
    }
    values[REMOE_STATE_LAMBDA] = std::clamp(moved, floor, ceiling);
  });
}
