// The router's gradient. The regularisation of equations 9 to 11 enters here, as lambda * f_e on
// every active gate, rather than through a graph of its own.

#include "operation.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kMaximumBlocks = 4096;

struct GradientArguments {
  float* dlogits;
  const float* dgates;  // may alias dlogits
  const float* gates;
  const int32_t* counts;
  const double* lambda;
  int balance;
  double active;
  double scale;
  int tokens;
  int experts;
};

// f_e of equation 10 in fp64, once per block and expert; the elements then need only fp32.
__device__ __forceinline__ float penalty(const GradientArguments& a, int expert) {
  if (a.balance == REMOE_BALANCE_NONE) return 0.0f;
  const double load = a.balance == REMOE_BALANCE_LOAD
                          ? a.experts * static_cast<double>(a.counts[expert]) /
                                (a.active * static_cast<double>(a.tokens))
                          : 1.0;
  return static_cast<float>(*a.lambda * load * a.scale);
}

__global__ void __launch_bounds__(kThreads) relu_router_gradient_kernel(GradientArguments a) {
  float* penalties = &gpu::shared<float>();
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kThreads) {
    penalties[e] = penalty(a, e);
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
    a.dlogits[i] = a.gates[i] > 0.0f ? a.dgates[i] + penalties[expert] : 0.0f;
    expert += step;
    if (expert >= a.experts) expert -= a.experts;
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_relu_router_gradient(uint64_t context, uint64_t dlogits, uint64_t dgates,
                                   uint64_t gates, uint64_t counts, uint64_t lambda,
                                   int32_t balance, double active, double scale, int32_t tokens,
                                   int32_t experts) {
  using namespace remoe;
  return guard(context, "relu_router_gradient", [&](Operation& op) {
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(balance >= REMOE_BALANCE_NONE && balance <= REMOE_BALANCE_LOAD,
            "balance is %d, but the ReLU router supports none (0), plain (1) and load (2)",
            balance);
    const bool regularized = balance != REMOE_BALANCE_NONE;
    const bool balanced = balance == REMOE_BALANCE_LOAD;
    require(!balanced || active > 0, "active is %g, but must be above 0", active);
    const GradientArguments a = {
        .dlogits = require_address<float>(dlogits, "dlogits"),
        .dgates = require_address<const float>(dgates, "dgates"),
        .gates = require_address<const float>(gates, "gates"),
        .counts = balanced ? require_address<const int32_t>(counts, "counts") : nullptr,
        .lambda = regularized ? require_address<const double>(lambda, "lambda") : nullptr,
        .balance = balance,
        .active = active,
        .scale = scale,
        .tokens = tokens,
        .experts = experts,
    };
    const size_t pairs = static_cast<size_t>(tokens) * experts;
    op.launch(relu_router_gradient_kernel, dim3(grid_blocks(pairs, kThreads, kMaximumBlocks)),
              dim3(kThreads), experts * sizeof(float), a);
  });
}
