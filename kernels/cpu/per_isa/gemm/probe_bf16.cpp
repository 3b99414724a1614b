// The machine's limit for bf16 products.
#include "per_isa/gemm/micro_gemm.h"
#include "per_isa/kernel.h"
#include "per_isa/simd/dot_bf16.h"

namespace remoe::REMOE_TARGET {

// As probe_fma_pass(), with dot products of pairs.
double probe_dot_pass(const Context&, int64_t rounds, float* sink) {
  constexpr int kChains = kTileRows * kTileVectors;
  Vec chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = broadcast(static_cast<float>(i));
  // 1 * 1 - 1 * 1 adds nothing, so the chains stay where they are.
  const Pairs a = Pairs{} + 0x3f803f80u, b = Pairs{} + 0xbf803f80u;
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) chain[i] = dot_pairs(chain[i], a, b);
  }
  Vec total{};
  for (int i = 0; i < kChains; ++i) total += chain[i];
  *sink = sum(total);
  return 4.0 * kChains * kLanes * static_cast<double>(rounds);
}

}  // namespace remoe::REMOE_TARGET
