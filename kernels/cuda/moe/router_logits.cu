#include "moe/router_launch.h"
#include "moe/router_logits.h"

namespace remoe {
namespace {

template <class T, class Shape, bool kWide>
__global__ void __launch_bounds__(Shape::kThreads, Shape::kBlocks)
    router_logits_kernel(float* to, RouterOperands<T> a) {
  SplitSums<Shape>& shared = gpu::shared<SplitSums<Shape>>();
  const WarpTile<Shape> own;
  Logits<Shape> logits = {};
  router_product<kWide>(shared, a, own, logits);
  if (own.split == 0) store_tile(to, own, logits, a.tokens, a.experts);
}

}  // namespace

void router_logits(Operation& op, float* logits, const RouterInput& input) {
  with_router_product(op, input, [&](auto a, auto shape, auto wide) {
    using T = std::remove_cvref_t<decltype(*a.x)>;
    using Shape = decltype(shape);
    op.launch(router_logits_kernel<T, Shape, wide.value>, shape.grid(a.tokens, a.experts),
              dim3(shape.kThreads), sizeof(SplitSums<Shape>), logits, a);
  });
}

}  // namespace remoe
