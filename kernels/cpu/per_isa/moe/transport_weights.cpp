// Load balancing by optimal transport: the experts' prices in a balanced assignment of the tokens,
// by Sinkhorn's scaling.
#include <algorithm>
#include <cmath>

#include "per_isa/kernel.h"
#include "per_isa/moe/router_tile.h"

namespace remoe::REMOE_TARGET {

namespace {

// Bounds the exponent, so that every expert can take every token and no price becomes infinite.
constexpr double kSmallestExponent = -60;

// Runs body(tile, begin, end) for tiles of tokens.
template <class Body>
void for_each_token_tile(Context& context, int tokens, int experts, Body&& body) {
  const int tiles = (tokens + kRouterTile - 1) / kRouterTile;
  parallel_ranges(context, tiles, kRouterTile * experts, [&](int64_t first, int64_t last) {
    for (int64_t tile = first; tile < last; ++tile) {
      body(tile, tile * kRouterTile, std::min<int64_t>(tokens, (tile + 1) * kRouterTile));
    }
  });
}

// Sums [tiles, columns] in tile order, which does not depend on the threads.
void reduce_tiles(double* totals, const double* partial, int64_t tiles, int columns) {
  std::fill(totals, totals + columns, 0.0);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    for (int e = 0; e < columns; ++e) totals[e] += partial[tile * columns + e];
  }
}

// A token's row of K, 0 for a token without an expert. Returns whether it has one.
bool kernel_row(double* kernel, const float* gates, double factor, int experts) {
  float largest = 0;
  bool routed = false;
  for (int e = 0; e < experts; ++e) {
    routed |= gates[e] != 0.0f;
    largest = std::max(largest, gates[e]);
  }
  for (int e = 0; e < experts; ++e) {
    const double below = static_cast<double>(gates[e]) - largest;
    kernel[e] = routed ? std::exp(std::max(factor * below, kSmallestExponent)) : 0;
  }
  return routed;
}

// Adds to `sums` the mass that the token sends to each expert, in all 1.
void add_shares(double* sums, const double* kernel, const double* scaling, int experts) {
  double total = 0;
  for (int e = 0; e < experts; ++e) total += kernel[e] * scaling[e];
  if (total == 0) return;
  for (int e = 0; e < experts; ++e) sums[e] += kernel[e] / total;
}

}  // namespace

void transport_weights(Context& context, float* weights, float* weighted_sums, const float* gates,
                       const float* gate_sums, double sharpness, int iterations, int tokens,
                       int experts) {
  const int64_t tiles = (tokens + kRouterTile - 1) / kRouterTile;
  const int columns = std::max(experts, 2);
  Scratch<double> kernel(context, static_cast<std::size_t>(tokens) * experts);
  Scratch<double> partial(context, static_cast<std::size_t>(tiles) * columns);
  Scratch<double> totals(context, columns);
  Scratch<double> scaling(context, experts);

  // The open gates, for their mean.
  for_each_token_tile(context, tokens, experts, [&](int64_t tile, int64_t begin, int64_t end) {
    double open = 0, sum = 0;
    for (int64_t i = begin * experts; i < end * experts; ++i) {
      open += gates[i] != 0.0f ? 1 : 0;
      sum += gates[i];
    }
    partial[tile * 2] = open;
    partial[tile * 2 + 1] = sum;
  });
  reduce_tiles(totals.data(), partial.data(), tiles, 2);
  const double factor = totals[0] == 0 ? 0 : sharpness * totals[0] / totals[1];

  for_each_token_tile(context, tokens, experts, [&](int64_t tile, int64_t begin, int64_t end) {
    double routed = 0;
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = t * experts;
      routed += kernel_row(kernel.data() + row, gates + row, factor, experts) ? 1 : 0;
    }
    partial[tile] = routed;
  });
  reduce_tiles(totals.data(), partial.data(), tiles, 1);
  const double fair = totals[0] / experts;

  std::fill(scaling.data(), scaling.data() + experts, 1.0);
  for (int round = 0; fair > 0 && round < iterations; ++round) {
    for_each_token_tile(context, tokens, experts, [&](int64_t tile, int64_t begin, int64_t end) {
      double* sums = partial.data() + tile * experts;
      std::fill(sums, sums + experts, 0.0);
      for (int64_t t = begin; t < end; ++t) {
        add_shares(sums, kernel.data() + t * experts, scaling.data(), experts);
      }
    });
    reduce_tiles(totals.data(), partial.data(), tiles, experts);
    for (int e = 0; e < experts; ++e) scaling[e] = fair / totals[e];
  }

  double mean = 0;
  for (int e = 0; e < experts; ++e) mean += 1 / (scaling[e] * experts);
  for (int e = 0; e < experts; ++e) {
    weights[e] = static_cast<float>(1 / (scaling[e] * mean));
    weighted_sums[e] = weights[e] * gate_sums[e];
  }
}

}  // namespace remoe::REMOE_TARGET

#ifdef REMOE_ENTRY_POINTS
REMOE_KERNEL(transport_weights)

using namespace remoe;

int32_t remoe_transport_weights(uint64_t context, uint64_t weights, uint64_t weighted_sums,
                                uint64_t gates, uint64_t gate_sums, double sharpness,
                                int32_t iterations, int32_t tokens, int32_t experts) {
  return guard(context, "transport_weights", [&](Context& open) {
    require_size(iterations, "iterations");
    require_size(tokens, "tokens");
    require_size(experts, "experts");
    require(sharpness >= 0, REMOE_INVALID_ARGUMENT, "sharpness is %g, but must be at least 0",
            sharpness);
    REMOE_DISPATCH(open, transport_weights, require_address<float>(weights, "weights"),
                   require_address<float>(weighted_sums, "weighted_sums"),
                   require_address<const float>(gates, "gates"),
                   require_address<const float>(gate_sums, "gate_sums"), sharpness, iterations,
                   tokens, experts);
  });
}
#endif  // REMOE_ENTRY_POINTS
