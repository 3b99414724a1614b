// Load balancing by optimal transport: the experts' prices in a balanced assignment of the tokens,
// by Sinkhorn's scaling.
//
// In fp64, by tiles of tokens whose partial sums are added up in tile order. A round takes two
// kernels, since every price depends on every token.

#include <cmath>

#include "device/block_reduce.h"
#include "runtime/operation.h"

namespace remoe {
namespace {

// Bounds the exponent, so that every expert can take every token and no price becomes infinite.
constexpr double kSmallestExponent = -60;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kTokens = 64;  // of a tile

// What the gates tell of the problem.
struct Problem {
  double factor;  // of the differences of gates in the exponent
  double fair;    // tokens with an expert, per expert
};

struct Tally {
  double open;    // gates other than 0
  double sum;     // of the gates
  double routed;  // tokens with an expert
};

struct TransportArguments {
  float* weights;
  float* weighted_sums;
  const float* gates;
  const float* gate_sums;
  Problem* problem;
  Tally* tallies;   // [tiles]
  double* kernel;   // K [T, E]
  double* scaling;  // v [E]
  double* partial;  // [tiles, E]
  double sharpness;
  int tokens;
  int experts;
  int tiles;

  __device__ __forceinline__ const float* gate_row(int token) const {
    return gates + static_cast<size_t>(token) * experts;
  }
  __device__ __forceinline__ double* kernel_row(int token) const {
    return kernel + static_cast<size_t>(token) * experts;
  }
};

__device__ __forceinline__ int lane_of_thread() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int warp_of_thread() { return static_cast<int>(threadIdx.x) / kWarp; }

// Runs body(token) for every token of the block's tile, a warp taking every eighth.
template <class Body>
__device__ __forceinline__ void for_each_token(const TransportArguments& a, Body&& body) {
  const int first = static_cast<int>(blockIdx.x) * kTokens;
  for (int i = warp_of_thread(); i < kTokens && first + i < a.tokens; i += kWarps) {
    body(first + i);
  }
}

__device__ __forceinline__ Tally operator+(const Tally& a, const Tally& b) {
  return {a.open + b.open, a.sum + b.sum, a.routed + b.routed};
}

__device__ __forceinline__ Tally sum_of_lanes(const Tally& own) {
  return {warp_sum(own.open), warp_sum(own.sum), warp_sum(own.routed)};
}

struct TallyShared {
  Tally warps[kWarps];
};

__global__ void __launch_bounds__(kThreads) tally_gates_kernel(TransportArguments a) {
  TallyShared& shared = gpu::shared<TallyShared>();
  const int lane = lane_of_thread();
  Tally own = {0, 0, 0};
  for_each_token(a, [&](int token) {
    const float* gates = a.gate_row(token);
    bool is_routed = false;
    for (int e = lane; e < a.experts; e += kWarp) {
      const bool is_open = gates[e] != 0.0f;
      is_routed |= is_open;
      own.open += is_open ? 1 : 0;
      own.sum += gates[e];
    }
    // In one lane, since lanes are added up.
    const bool any = __ballot_sync(kFullWarp, is_routed) != 0;
    own.routed += any && lane == 0 ? 1 : 0;
  });
  own = sum_of_lanes(own);
  if (lane == 0) shared.warps[warp_of_thread()] = own;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < kWarps; warp++) own = own + shared.warps[warp];
  a.tallies[blockIdx.x] = own;
}

// One warp adds up the tiles.
__global__ void __launch_bounds__(kWarp) start_problem_kernel(TransportArguments a) {
  Tally own = {0, 0, 0};
  for (int tile = lane_of_thread(); tile < a.tiles; tile += kWarp) own = own + a.tallies[tile];
  own = sum_of_lanes(own);
  for (int e = lane_of_thread(); e < a.experts; e += kWarp) a.scaling[e] = 1;
  if (threadIdx.x != 0) return;
  a.problem->factor = own.open == 0 ? 0 : a.sharpness * own.open / own.sum;
  a.problem->fair = own.routed / a.experts;
}

// The rows of K, 0 for a token without an expert.
__global__ void __launch_bounds__(kThreads) kernel_rows_kernel(TransportArguments a) {
  const int lane = lane_of_thread();
  const double factor = a.problem->factor;
  for_each_token(a, [&](int token) {
    const float* gates = a.gate_row(token);
    double* kernel = a.kernel_row(token);
    float largest = 0;
    bool is_routed = false;
    for (int e = lane; e < a.experts; e += kWarp) {
      is_routed |= gates[e] != 0.0f;
      largest = fmaxf(largest, gates[e]);
    }
    largest = warp_reduce(largest, [](float a, float b) { return fmaxf(a, b); });
    const bool any = __ballot_sync(kFullWarp, is_routed) != 0;
    for (int e = lane; e < a.experts; e += kWarp) {
      const double exponent = factor * (static_cast<double>(gates[e]) - largest);
      // Written so that NaN stays NaN.
      const double bounded = exponent < kSmallestExponent ? kSmallestExponent : exponent;
      kernel[e] = any ? exp(bounded) : 0;
    }
  });
}

struct ShareShared {
  double inverse[kTokens];  // u, 0 for a token without an expert
};

// The mass that the tile's tokens send to each expert, 1 of each token with an expert.
__global__ void __launch_bounds__(kThreads) add_shares_kernel(TransportArguments a) {
  ShareShared& shared = gpu::shared<ShareShared>();
  const int lane = lane_of_thread();
  const int first = static_cast<int>(blockIdx.x) * kTokens;
  for_each_token(a, [&](int token) {
    const double* kernel = a.kernel_row(token);
    double total = 0;
    for (int e = lane; e < a.experts; e += kWarp) total += kernel[e] * a.scaling[e];
    total = warp_sum(total);
    if (lane == 0) shared.inverse[token - first] = total == 0 ? 0 : 1 / total;
  });
  __syncthreads();
  const int tokens = a.tokens - first < kTokens ? a.tokens - first : kTokens;
  for (int e = static_cast<int>(threadIdx.x); e < a.experts; e += kThreads) {
    double sum = 0;
    for (int i = 0; i < tokens; i++) sum += a.kernel_row(first + i)[e] * shared.inverse[i];
    a.partial[static_cast<size_t>(blockIdx.x) * a.experts + e] = sum;
  }
}

// One warp per expert adds up the tiles.
__global__ void __launch_bounds__(kThreads) scale_experts_kernel(TransportArguments a) {
  const int lane = lane_of_thread();
  const int expert = static_cast<int>(blockIdx.x) * kWarps + warp_of_thread();
  double sum = 0;
  for (int tile = lane; expert < a.experts && tile < a.tiles; tile += kWarp) {
    sum += a.partial[static_cast<size_t>(tile) * a.experts + expert];
  }
  sum = warp_sum(sum);
  const double fair = a.problem->fair;
  // Without an open gate all experts keep the scaling 1.
  if (lane == 0 && expert < a.experts && fair > 0) a.scaling[expert] = fair / sum;
}

// One warp makes the prices.
__global__ void __launch_bounds__(kWarp) weigh_experts_kernel(TransportArguments a) {
  double mean = 0;
  for (int e = lane_of_thread(); e < a.experts; e += kWarp) mean += 1 / (a.scaling[e] * a.experts);
  mean = warp_sum(mean);
  for (int e = lane_of_thread(); e < a.experts; e += kWarp) {
    a.weights[e] = static_cast<float>(1 / (a.scaling[e] * mean));
    a.weighted_sums[e] = a.weights[e] * a.gate_sums[e];
  }
}

}  // namespace
}  // namespace remoe

int32_t remoe_transport_weights(uint64_t context, uint64_t weights, uint64_t weighted_sums,
                                uint64_t gates, uint64_t gate_sums, double sharpness,
                                int32_t iterations, int32_t tokens, int32_t experts) {
  using namespace remoe;
  return guard(context, "transport_weights", [&](Operation& op) {
    require_size(iterations, "iterations");
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(sharpness >= 0, "sharpness is %g, but must be at least 0", sharpness);
    const int tiles = (tokens - 1) / kTokens + 1;
    TransportArguments a = {
        .weights = require_address<float>(weights, "weights"),
        .weighted_sums = require_address<float>(weighted_sums, "weighted_sums"),
        .gates = require_address<const float>(gates, "gates"),
        .gate_sums = require_address<const float>(gate_sums, "gate_sums"),
        .problem = nullptr,
        .tallies = nullptr,
        .kernel = nullptr,
        .scaling = nullptr,
        .partial = nullptr,
        .sharpness = sharpness,
        .tokens = tokens,
        .experts = experts,
        .tiles = tiles,
    };
    const Scratch<Problem> problem(op, 1);
    const Scratch<Tally> tallies(op, tiles);
    const Scratch<double> kernel(op, static_cast<size_t>(tokens) * experts);
    const Scratch<double> scaling(op, experts);
    const Scratch<double> partial(op, static_cast<size_t>(tiles) * experts);
    a.problem = problem.data();
    a.tallies = tallies.data();
    a.kernel = kernel.data();
    a.scaling = scaling.data();
    a.partial = partial.data();
    const dim3 by_tile(tiles);
    const dim3 by_expert((experts - 1) / kWarps + 1);
    op.launch(tally_gates_kernel, by_tile, dim3(kThreads), sizeof(TallyShared), a);
    op.launch(start_problem_kernel, dim3(1), dim3(kWarp), 0, a);
    op.launch(kernel_rows_kernel, by_tile, dim3(kThreads), 0, a);
    for (int round = 0; round < iterations; round++) {
      op.launch(add_shares_kernel, by_tile, dim3(kThreads), sizeof(ShareShared), a);
      op.launch(scale_experts_kernel, by_expert, dim3(kThreads), 0, a);
    }
    op.launch(weigh_experts_kernel, dim3(1), dim3(kWarp), 0, a);
  });
}
