// The machine's limits, to measure kernels against.
#include "per_isa/gemm/micro_gemm.h"
#include "per_isa/kernels.h"

namespace remoe::REMOE_TARGET {

// As many independent chains as the register tile has accumulators, so that the loop is bound by
// the multiply-add units alone: latency 4 times 2 units needs 8.
double probe_fma_pass(const Context&, int64_t rounds, float* sink) {
  constexpr int kChains = kTileRows * kTileVectors;
  Vec chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = broadcast(1.0f + static_cast<float>(i));
  // x -> 0.5 x + 1 stays near 2, far from the slow subnormals and from infinity.
  const Vec factor = broadcast(0.5f), term = broadcast(1.0f);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) chain[i] = chain[i] * factor + term;
  }
  Vec total{};
  for (int i = 0; i < kChains; ++i) total += chain[i];
  *sink = sum(total);
  return 2.0 * kChains * kLanes * static_cast<double>(rounds);
}

}  // namespace remoe::REMOE_TARGET
