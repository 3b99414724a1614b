// The experts' forward pass of any sizes and addresses: first product with SwiGLU and the gate in
// its epilogue, second product, sum by token. The rows between the products go through memory.
#include "moe/combine.h"
#include "moe/expert_paths.h"
#include "moe/expert_products.h"

namespace remoe {
namespace {

template <class Loop, class T>
void forward_tiles(Operation& op, const ExpertsForward<T>& call, T* a, float* rows) {
  const ExpertSizes& sizes = call.sizes;
  const ExpertTiles tiles(op, call.plan, sizes, Loop::Shape::kRows);
  PreActivations<T> first = pre_activations_of<T>(call, tiles.list());
  first.h = call.h;
  first.end_row = call.kept_rows;
  first.a = a;
  launch_pre_activations<Loop>(op, first, tiles.most());
  const RowsProduct<T> second = {
      .to = rows,
      .a = a,
      .w = call.w2,
      .list = tiles.list(),
      .n = sizes.hidden,
      .k = sizes.width,
  };
  launch_rows_product<Loop, false>(op, second, tiles.most());
}

}  // namespace

template <class T>
void experts_forward_simt(Operation& op, const ExpertsForward<T>& call) {
  const ExpertSizes& sizes = call.sizes;
  const size_t most_rows = static_cast<size_t>(sizes.most_rows);
  const Scratch<T> a(op, most_rows * sizes.width);
  const Scratch<float> rows(op, most_rows * sizes.hidden);
  with_rows_loop<T>(
      sizes, [&]<class Loop>(Loop) { forward_tiles<Loop>(op, call, a.data(), rows.data()); });
  combine(op, call.y, rows.data(), call.plan, sizes.hidden, false);
}

template void experts_forward_simt(Operation&, const ExpertsForward<float>&);
template void experts_forward_simt(Operation&, const ExpertsForward<Bf16>&);

}  // namespace remoe
