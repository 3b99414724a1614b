#include "moe/router_logits.h"
#include "moe/router_product.h"

namespace remoe {
namespace {

template <class T, int kTiles, bool kWide>
__global__ void __launch_bounds__(kRouterThreads)
    router_logits_kernel(float* to, RouterOperands<T> a) {
  const WarpTile<kTiles> own;
  Logits<kTiles> logits = {};
  router_product<kWide>(a, own, logits);
  store_tile(to, own, logits, a.tokens, a.experts);
}

}  // namespace

void router_logits(Operation& op, float* logits, const RouterInput& input) {
  with_router_product(op, input, [&](auto a, auto tiles, auto wide) {
    using T = std::remove_cvref_t<decltype(*a.x)>;
    op.launch(router_logits_kernel<T, tiles.value, wide.value>,
              router_grid(a.tokens, a.experts, tiles.value), dim3(kRouterThreads), 0, logits, a);
  });
}

}  // namespace remoe
