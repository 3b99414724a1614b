// Step state: the values that change from step to step, and the rules by which lambda moves.

#include <cmath>

#include "device/block_reduce.h"
#include "moe/expert_weight.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr unsigned kMaximumBlocks = 64;

__device__ __forceinline__ bool is_zeroed(int64_t slot) {
  return slot == REMOE_STATE_ACTIVE_PAIRS || slot == REMOE_STATE_SPARSITY ||
         slot == REMOE_STATE_LOSS || slot == REMOE_STATE_L1 || slot == REMOE_STATE_BALANCE ||
         slot == REMOE_STATE_NOT_FINITE || slot == REMOE_STATE_OVERFLOW ||
         slot == REMOE_STATE_GRADIENT_NORM || slot >= REMOE_STATE_HEADER;
}

__global__ void __launch_bounds__(kThreads) begin_kernel(double* state, int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (int64_t slot = first; slot < count; slot += stride) {
    if (is_zeroed(slot)) state[slot] = 0.0;
    if (slot == REMOE_STATE_CLIP_SCALE) state[slot] = 1.0;
  }
}

__global__ void add_kernel(double* slot, const float* value, double scale) {
  *slot += scale * static_cast<double>(*value);
}

struct RoutingArguments {
  double* state;
  double* record;
  const int32_t* plan;
  const int32_t* counts;
  const float* sums;
  int balance;
  double active;
  int tokens;
  int experts;
};

struct RoutingShared {
  double sums[kWarps];
};

__global__ void __launch_bounds__(kThreads) record_routing_kernel(RoutingArguments a) {
  const int thread = static_cast<int>(threadIdx.x);
  double weighted = 0.0;
  for (int e = thread; e < a.experts; e += kThreads) {
    a.record[REMOE_RECORD_EXTRA + e] += a.counts[e];
    if (a.sums == nullptr) continue;
    weighted += expert_weight(a.balance, a.counts, e, a.experts, a.active, a.tokens) * a.sums[e];
  }
  weighted = block_sum(weighted, gpu::shared<RoutingShared>().sums);
  if (thread != 0) return;
  a.record[REMOE_RECORD_TOKENS] += a.tokens;
  a.record[REMOE_RECORD_WITHOUT_EXPERT] += a.plan[REMOE_PLAN_WITHOUT_EXPERT];
  if (a.plan[REMOE_PLAN_OVERFLOW] != 0) a.state[REMOE_STATE_OVERFLOW] = 1.0;
  if (a.sums == nullptr) return;
  const int field =
      a.balance == REMOE_BALANCE_SWITCH ? REMOE_RECORD_BALANCE : REMOE_RECORD_REGULARIZATION;
  a.record[field] += weighted;
}

struct LambdaArguments {
  double* state;
  int layers;
  int experts;
  double active;
  double tokens;
  double alpha;
  double floor;
  double ceiling;
  int rule;
  double gain;
  double damping;
};

// As std::clamp, which keeps NaN.
__device__ __forceinline__ double clamped(double x, double low, double high) {
  return x < low ? low : high < x ? high : x;
}

// The factor of proportional-integral control, whose integral is log(lambda) itself.
__device__ __forceinline__ double proportional_factor(double excess, double last_excess,
                                                      const LambdaArguments& a) {
  const double change = a.gain * excess + a.damping * (excess - last_excess);
  return clamped(exp(change), 1.0 / a.alpha, a.alpha);
}

__device__ __forceinline__ void move_lambda(const LambdaArguments& a, double pairs) {
  if (a.rule == REMOE_LAMBDA_FIXED || a.state[REMOE_STATE_OVERFLOW] != 0.0) return;
  const double lambda = a.state[REMOE_STATE_LAMBDA];
  const double target = a.active * (a.layers * a.tokens);
  double moved = lambda;
  if (a.rule == REMOE_LAMBDA_SIGN) {
    moved = pairs > target ? lambda * a.alpha : pairs < target ? lambda / a.alpha : lambda;
  } else {
    const double excess = pairs / target - 1.0;
    moved = lambda * proportional_factor(excess, a.state[REMOE_STATE_EXCESS], a);
    a.state[REMOE_STATE_EXCESS] = excess;
  }
  a.state[REMOE_STATE_LAMBDA] = clamped(moved, a.floor, a.ceiling);
}

struct LambdaShared {
  double pairs[kWarps];
  double regularized[kWarps];
  double balance[kWarps];
};

// Counts are integers, so their sum is exact, and which side of the target it falls on does not
// depend on the order of summation.
__global__ void __launch_bounds__(kThreads) update_lambda_kernel(LambdaArguments a) {
  LambdaShared& shared = gpu::shared<LambdaShared>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  double pairs = 0.0;
  double regularized = 0.0;
  double balance = 0.0;
  for (int layer = warp; layer < a.layers; layer += kWarps) {
    const double* record = a.state + remoe_state_record(layer, a.experts);
    for (int e = lane; e < a.experts; e += kWarp) pairs += record[REMOE_RECORD_EXTRA + e];
    if (lane != 0) continue;
    regularized += record[REMOE_RECORD_REGULARIZATION];
    balance += record[REMOE_RECORD_BALANCE] / a.tokens;
  }
  pairs = block_sum(pairs, shared.pairs);
  regularized = block_sum(regularized, shared.regularized);
  balance = block_sum(balance, shared.balance);
  if (threadIdx.x != 0) return;
  const double routed = a.layers * a.tokens;
  a.state[REMOE_STATE_ACTIVE_PAIRS] = pairs;
  a.state[REMOE_STATE_SPARSITY] = 1.0 - pairs / (a.experts * routed);
  a.state[REMOE_STATE_L1] = regularized / routed;
  a.state[REMOE_STATE_BALANCE] = balance;
  move_lambda(a, pairs);
}

// Whether the arguments of a rule are in range.
void check_rule(int32_t rule, double alpha, double floor, double ceiling, double gain,
                double damping) {
  require(rule >= REMOE_LAMBDA_FIXED && rule <= REMOE_LAMBDA_PROPORTIONAL, "rule %d is unknown",
          rule);
  if (rule == REMOE_LAMBDA_FIXED) return;
  require(alpha > 0 && floor <= ceiling,
          "alpha %g must be above 0, and floor %g at most ceiling %g", alpha, floor, ceiling);
  if (rule == REMOE_LAMBDA_SIGN) return;
  require(alpha >= 1 && gain >= 0 && damping >= 0,
          "alpha %g must be at least 1, and gain %g and damping %g at least 0", alpha, gain,
          damping);
}

}  // namespace
}  // namespace remoe

using namespace remoe;

int32_t remoe_state_begin(uint64_t context, uint64_t state, int32_t layers, int32_t experts) {
  return guard(context, "state_begin", [&](Operation& op) {
    auto* values = require_address<double>(state, "state");
    require_size(layers, "layers");
    require_size(experts, "experts");
    const int64_t count = remoe_state_record(layers, experts);
    const dim3 grid(grid_blocks(static_cast<uint64_t>(count), kThreads, kMaximumBlocks));
    op.launch(begin_kernel, grid, dim3(kThreads), 0, values, count);
  });
}

int32_t remoe_state_add(uint64_t context, uint64_t state, int32_t slot, uint64_t value,
                        double scale) {
  return guard(context, "state_add", [&](Operation& op) {
    auto* values = require_address<double>(state, "state");
    require(slot >= 0 && slot < REMOE_STATE_HEADER, "slot is %d, but must be 0 to %d", slot,
            REMOE_STATE_HEADER - 1);
    const auto* added = require_address<const float>(value, "value");
    op.launch(add_kernel, dim3(1), dim3(1), 0, values + slot, added, scale);
  });
}

int32_t remoe_state_record_routing(uint64_t context, uint64_t state, int32_t layer, uint64_t plan,
                                   uint64_t counts, uint64_t sums, int32_t balance, double active,
                                   int32_t tokens, int32_t experts) {
  return guard(context, "state_record_routing", [&](Operation& op) {
    auto* values = require_address<double>(state, "state");
    const auto* head = require_address<const int32_t>(plan, "plan");
    const auto* count = require_address<const int32_t>(counts, "counts");
    const auto* sum = optional_address<const float>(sums, "sums");
    require(layer >= 0, "layer is %d", layer);
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(balance >= REMOE_BALANCE_NONE && balance <= REMOE_BALANCE_LOAD_SQUARED,
            "balance %d is unknown", balance);
    require(active > 0, "active is %g, but must be above 0", active);
    const RoutingArguments a = {
        .state = values,
        .record = values + remoe_state_record(layer, experts),
        .plan = head,
        .counts = count,
        .sums = sum,
        .balance = balance,
        .active = active,
        .tokens = tokens,
        .experts = experts,
    };
    op.launch(record_routing_kernel, dim3(1), dim3(kThreads), sizeof(RoutingShared), a);
  });
}

int32_t remoe_state_update_lambda(uint64_t context, uint64_t state, int32_t layers, int32_t experts,
                                  double active, double tokens, double alpha, double floor,
                                  double ceiling, int32_t rule, double gain, double damping) {
  return guard(context, "state_update_lambda", [&](Operation& op) {
    auto* values = require_address<double>(state, "state");
    require_size(layers, "layers");
    require_size(experts, "experts");
    require(tokens > 0, "tokens is %g, but must be above 0", tokens);
    check_rule(rule, alpha, floor, ceiling, gain, damping);
    const LambdaArguments a = {
        .state = values,
        .layers = layers,
        .experts = experts,
        .active = active,
        .tokens = tokens,
        .alpha = alpha,
        .floor = floor,
        .ceiling = ceiling,
        .rule = rule,
        .gain = gain,
        .damping = damping,
    };
    op.launch(update_lambda_kernel, dim3(1), dim3(kThreads), sizeof(LambdaShared), a);
  });
}
