// The router's gradient. The regularisation of equations 9 to 11 enters here, as lambda * f_e on
// every active gate, rather than through a graph of its own.

#include <cmath>

#include "device/bf16.h"
#include "moe/expert_weight.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
// Enough for every multiprocessor; more would compute the penalties more often than use them.
constexpr int kMaximumBlocks = 1024;

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

// A thread takes kCount adjacent experts of a token at a time.
template <int kActivation, int kCount>
__global__ void __launch_bounds__(kThreads) relu_router_gradient_kernel(GradientArguments a) {
  float* penalties = &gpu::shared<float>();
  float* closed = penalties + a.experts;
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kThreads) {
    penalties[e] = penalty(a, e);
    closed[e] = pull(a, e);
  }
  __syncthreads();
  const size_t pairs = static_cast<size_t>(a.tokens) * a.experts;
  const size_t stride = static_cast<size_t>(gridDim.x) * kThreads * kCount;
  const size_t first = (static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x) * kCount;
  // The expert index advances by the stride modulo E: a division per element would cost more than
  // the element itself.
  const int step = static_cast<int>(stride % a.experts);
  int expert = static_cast<int>(first % a.experts);
  for (size_t i = first; i < pairs; i += stride) {
    const auto gates = load_vector<float, kCount>(a.gates + i);
    auto gradients = load_vector<float, kCount>(a.dgates + i);
    const auto weights = load_vector<float, kCount>(penalties + expert);
    const auto pulls = load_vector<float, kCount>(closed + expert);
#pragma unroll
    for (int j = 0; j < kCount; j++) {
      const float gate = gates.element[j];
      const float open = (gradients.element[j] + weights.element[j]) * slope<kActivation>(gate);
      gradients.element[j] = gate > 0.0f ? open : pulls.element[j];
    }
    store_vector(a.dlogits + i, gradients);
    expert += step;
    if (expert >= a.experts) expert -= a.experts;
  }
}

template <int kCount>
void launch_gradient(Operation& op, const GradientArguments& a, int activation) {
  const size_t vectors = static_cast<size_t>(a.tokens) * a.experts / kCount;
  const auto kernel = activation == REMOE_GATE_RELU_SQUARED
                          ? relu_router_gradient_kernel<REMOE_GATE_RELU_SQUARED, kCount>
                      : activation == REMOE_GATE_TANH
                          ? relu_router_gradient_kernel<REMOE_GATE_TANH, kCount>
                          : relu_router_gradient_kernel<REMOE_GATE_RELU, kCount>;
  op.launch(kernel, dim3(grid_blocks(vectors, kThreads, kMaximumBlocks)), dim3(kThreads),
            2 * a.experts * sizeof(float), a);
}

// Whether four adjacent experts are always 16 bytes of one token.
bool has_wide_rows(const GradientArguments& a) {
  const auto all = reinterpret_cast<uintptr_t>(a.dlogits) | reinterpret_cast<uintptr_t>(a.dgates) |
                   reinterpret_cast<uintptr_t>(a.gates);
  return a.experts % 4 == 0 && all % 16 == 0;
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
    if (has_wide_rows(a)) {
      launch_gradient<4>(op, a, activation);
    } else {
      launch_gradient<1>(op, a, activation);
    }
  });
}
