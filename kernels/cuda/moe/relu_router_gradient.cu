// The router's gradient. The regularisation of equations 9 to 11 enters here, as lambda * f_e on
// every active gate, rather than through a graph of its own.

#include <cmath>

#include "moe/expert_weight.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kMaximumBlocks = 4096;

struct GradientArguments {
  float* dlogits;
  const float* dgates;  // may alias dlogits
  const float* gates;
  const int32_t* counts;
  const float* weights;
  const double* lambda;
  int balance;
  double active;
  double scale;
  double revive;
  int tokens;
  int experts;
};

__device__ __forceinline__ double weight_of(const GradientArguments& a, int expert) {
  if (a.balance == REMOE_BALANCE_TRANSPORT) return a.weights[expert];
  return expert_weight(a.balance, a.counts, expert, a.experts, a.active, a.tokens);
}

// f_e of equation 10 in fp64, once per block and expert; the elements then need only fp32.
__device__ __forceinline__ float penalty(const GradientArguments& a, int expert) {
  if (a.balance == REMOE_BALANCE_NONE) return 0.0f;
  return static_cast<float>(*a.lambda * weight_of(a, expert) * a.scale);
}

// The gradient of the logits whose gate is 0.
__device__ __forceinline__ float pull(const GradientArguments& a, int expert) {
  const bool pulled = a.revive > 0 && a.counts[expert] == 0;
  return pulled ? static_cast<float>(-a.revive * a.scale) : 0.0f;
}

// The activation's derivative, from the gate: no logit is kept.
template <int kActivation>
__device__ __forceinline__ float slope(float gate) {
  if constexpr (kActivation == REMOE_GATE_RELU_SQUARED) return 2.0f * sqrtf(gate);
  if constexpr (kActivation == REMOE_GATE_TANH) return 1.0f - gate * gate;
  return 1.0f;
}

template <int kActivation>
__global__ void __launch_bounds__(kThreads) relu_router_gradient_kernel(GradientArguments a) {
  float* penalties = &gpu::shared<float>();
  float* closed = penalties + a.experts;
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kThreads) {
    penalties[e] = penalty(a, e);
    closed[e] = pull(a, e);
  }
  __syncthreads();
  const size_t pairs = static_cast<size_t>(a.tokens) * a.experts;
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads;
  const size_t first = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  // The expert index advances by the stride modulo E: a division per element would cost more than
  // the element itself.
  const int step = static_cast<int>(stride % a.experts);
  int expert = static_cast<int>(first % a.experts);
  for (size_t i = first; i < pairs; i += stride) {
    const float gate = a.gates[i];
    a.dlogits[i] =
        gate > 0.0f ? (a.dgates[i] + penalties[expert]) * slope<kActivation>(gate) : closed[expert];
    expert += step;
    if (expert >= a.experts) expert -= a.experts;
  }
}

bool by_load(int balance) {
  return balance == REMOE_BALANCE_LOAD || balance == REMOE_BALANCE_LOAD_SQUARED;
}

}  // namespace
}  // namespace remoe

int32_t remoe_relu_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t counts, uint64_t weights,
                                   uint64_t lambda, int32_t balance, int32_t activation,
                                   double active, double scale, double revive, int32_t tokens,
                                   int32_t experts) {
  using namespace remoe;
  return guard(context, "relu_router_gradient", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(activation >= REMOE_GATE_RELU && activation <= REMOE_GATE_TANH,
            "activation %d is unknown", activation);
    require(balance >= REMOE_BALANCE_NONE && balance <= REMOE_BALANCE_TRANSPORT &&
                balance != REMOE_BALANCE_SWITCH,
            "balance is %d, but the ReLU router supports none (0), plain (1), load (2), load "
            "squared (4) and transport (5)",
            balance);
    require(!by_load(balance) || active > 0, "active is %g, but must be above 0", active);
    require(revive >= 0, "revive is %g, but must be at least 0", revive);
    const bool regularized = balance != REMOE_BALANCE_NONE;
    const bool priced = balance == REMOE_BALANCE_TRANSPORT;
    const bool counted = by_load(balance) || revive > 0;
    const GradientArguments a = {
        .dlogits = require_address<float>(dlogits, "dlogits"),
        .dgates = require_address<const float>(dgates, "dgates"),
        .gates = require_address<const float>(gates, "gates"),
        .counts = counted ? require_address<const int32_t>(counts, "counts") : nullptr,
        .weights = priced ? require_address<const float>(weights, "weights") : nullptr,
        .lambda = regularized ? require_address<const double>(lambda, "lambda") : nullptr,
        .balance = balance,
        .active = active,
        .scale = scale,
        .revive = revive,
        .tokens = tokens,
        .experts = experts,
    };
    const size_t pairs = static_cast<size_t>(tokens) * experts;
    const auto kernel =
        activation == REMOE_GATE_RELU_SQUARED ? relu_router_gradient_kernel<REMOE_GATE_RELU_SQUARED>
        : activation == REMOE_GATE_TANH       ? relu_router_gradient_kernel<REMOE_GATE_TANH>
                                              : relu_router_gradient_kernel<REMOE_GATE_RELU>;
    op.launch(kernel, dim3(grid_blocks(pairs, kThreads, kMaximumBlocks)), dim3(kThreads),
              2 * experts * sizeof(float), a);
  });
}
