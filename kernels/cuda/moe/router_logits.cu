#include "moe/router_logits.h"
#include "moe/router_product.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

// A thread's adjacent logits of one token are written at once where rows start at multiples of 16
// bytes, which puts all of them inside or outside.
template <bool kWide, int kCount>
__device__ __forceinline__ void store_logits(float* row, const float (&logits)[kCount],
                                             int inside) {
  if constexpr (kWide) {
    Vector<float, kCount> all;
#pragma unroll
    for (int j = 0; j < kCount; j++) all.element[j] = logits[j];
    if (inside > 0) store_vector(row, all);
  } else {
#pragma unroll
    for (int j = 0; j < kCount; j++) {
      if (j < inside) row[j] = logits[j];
    }
  }
}

// Two blocks per multiprocessor leave 128 registers per thread, enough to avoid spills.
template <class T, int kTileExperts, bool kWide>
__global__ void __launch_bounds__(kRouterThreads, 2)
    router_logits_kernel(float* to, RouterOperands<T> a) {
  ProductTile<kTileExperts>& tile = gpu::shared<ProductTile<kTileExperts>>();
  const int token0 = static_cast<int>(blockIdx.x) * kTileTokens;
  const int expert0 = static_cast<int>(blockIdx.y) * kTileExperts;
  const ThreadTile<kTileExperts> own;
  Logits<kTileExperts> logits = {};
  router_product<kWide>(tile, a, token0, expert0, own, logits);
#pragma unroll
  for (int i = 0; i < own.kTokens; i++) {
    const int token = token0 + own.row + i;
    const int expert = expert0 + own.column;
    if (token >= a.tokens) continue;
    store_logits<kWide>(to + static_cast<size_t>(token) * a.experts + expert, logits[i],
                        a.experts - expert);
  }
}

}  // namespace

void require_router_input(const RouterInput& input) {
  require_size(input.tokens, "tokens");
  require_size(input.hidden, "hidden");
  require_size(input.experts, "experts");
  require_float(input.dtype);
  require_elements(input.x, input.dtype, "x");
  require_address<const float>(input.w, "w");
}

void router_logits(Operation& op, float* logits, const RouterInput& input) {
  with_activations(input.dtype, [&](auto element) {
    using T = decltype(element);
    const RouterOperands<T> a = {.x = require_address<const T>(input.x, "x"),
                                 .w = require_address<const float>(input.w, "w"),
                                 .tokens = input.tokens,
                                 .hidden = input.hidden,
                                 .experts = input.experts};
    const bool is_wide = has_wide_rows(a) && reinterpret_cast<uintptr_t>(logits) % 16 == 0;
    with_router_tile(a.experts, is_wide, [&](auto tile, auto wide) {
      op.launch(router_logits_kernel<T, tile.value, wide.value>,
                router_grid(a.tokens, a.experts, tile.value), dim3(kRouterThreads),
                sizeof(ProductTile<tile.value>), logits, a);
    });
  });
}

}  // namespace remoe
