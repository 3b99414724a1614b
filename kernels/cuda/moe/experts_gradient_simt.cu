// The experts' gradient of any sizes and addresses: dA' with SwiGLU's derivative in its epilogue,
// then the gradients of the weights, and of x through rows that are summed by token.
#include <algorithm>

#include "gemm/join_parts.h"
#include "moe/combine.h"
#include "moe/expert_gradients.h"
#include "moe/expert_paths.h"

namespace remoe {
namespace {

// Rows of an expert worth a part of their own, by the tokens there are.
constexpr int kLeastRows = 256;

// dgates [T,E] of the routed pairs from the parts of their sums, in the order of the columns.
struct GateGradients {
  float* dgates;
  const float* dots;
  PlanView plan;
  TileList list;
  int parts;
  bool accumulate;
};

constexpr int kGateThreads = 128;

__global__ void __launch_bounds__(kGateThreads) gate_gradients_kernel(GateGradients p) {
  const int count = *p.list.count;
  for (int i = static_cast<int>(blockIdx.x); i < count; i += static_cast<int>(gridDim.x)) {
    const ExpertTile tile = p.list.tiles[i];
    for (int r = static_cast<int>(threadIdx.x); r < tile.rows; r += kGateThreads) {
      const size_t row = static_cast<size_t>(tile.row) + r;
      float sum = 0.0f;
      for (int part = 0; part < p.parts; part++) sum += p.dots[row * p.parts + part];
      const int token = p.plan.row_token()[row];
      float* to = p.dgates + static_cast<size_t>(token) * p.plan.experts + tile.expert;
      *to = p.accumulate ? *to + sum : sum;
    }
  }
}

// Gradients of few and small weights are divided along the rows.
int splits_of(const ExpertSizes& sizes, uint64_t tiles, int resident) {
  const uint64_t wanted =
      std::min<uint64_t>(uint64_t{kMultiprocessors} * resident / tiles, sizes.tokens / kLeastRows);
  return static_cast<int>(std::max<uint64_t>(wanted, 1));
}

template <class Loop, class T>
void launch_weight_gradients(Operation& op, const ExpertSizes& sizes, WeightGradients<T> p) {
  using Shape = typename Loop::Shape;
  const uint64_t tiles = static_cast<uint64_t>((p.m - 1) / Shape::kRows + 1) *
                         ((p.n - 1) / Shape::kColumns + 1) * sizes.experts;
  require(tiles <= INT32_MAX, "the weights of %d experts are too large", sizes.experts);
  p.splits = splits_of(sizes, tiles, Loop::kResident);
  const size_t count = static_cast<size_t>(sizes.experts) * p.m * p.n;
  const Scratch<float> partial(op, p.splits == 1 ? 1 : p.splits * count);
  if (p.splits > 1) p.partial = partial.data();
  op.launch(weight_gradients_kernel<Loop, T>, dim3(static_cast<unsigned>(tiles), p.splits),
            dim3(Loop::Shape::kThreads), sizeof(typename Loop::Shared), p);
  if (p.splits > 1) {
    join_parts<float>(op, {p.dw, static_cast<size_t>(p.n), p.partial, p.splits, count, p.n, 1.0f,
                           p.accumulate ? 1.0f : 0.0f});
  }
}

template <class T>
void weight_gradients(Operation& op, const ExpertSizes& sizes, const WeightGradients<T>& p) {
  if constexpr (std::is_same_v<T, Bf16>) {
    launch_weight_gradients<MmaLoop>(op, sizes, p);
  } else if (p.m <= MediumTile::kRows || p.n <= MediumTile::kColumns) {
    launch_weight_gradients<SimtLoop<MediumTile>>(op, sizes, p);
  } else {
    launch_weight_gradients<SimtLoop<LargeTile>>(op, sizes, p);
  }
}

// The rows of the plan between the products of a gradient.
template <class T>
struct Rows {
  T* dh;        // [rows, 2W]
  T* gated;     // [rows, W]; nullptr: not wanted
  float* dots;  // nullptr: not wanted
};

template <class Loop, class T>
void recompute(Operation& op, const ExpertsGradient<T>& call, const ExpertTiles& tiles, T* h) {
  PreActivations<T> p = pre_activations_of<T>(call, tiles.list());
  p.h = h;
  p.first_row = call.kept_rows;
  p.end_row = call.sizes.most_rows;
  launch_pre_activations<Loop>(op, p, tiles.most());
}

template <class Loop, class T>
void activation_gradients(Operation& op, const ExpertsGradient<T>& call, const ExpertTiles& tiles,
                          const Rows<T>& rows) {
  const ExpertSizes& sizes = call.sizes;
  if (call.kept_rows < sizes.most_rows) recompute<Loop>(op, call, tiles, rows.dh);
  const ActivationGradients<T> p = {
      .dh = rows.dh,
      .gated = rows.gated,
      .dots = rows.dots,
      .h = call.h,
      .dy = call.dy,
      .w2 = call.w2,
      .gates = call.gates,
      .plan = call.plan,
      .list = tiles.list(),
      .kept_rows = call.kept_rows,
      .hidden = sizes.hidden,
      .width = sizes.width,
  };
  const uint64_t work = tiles.most() * ((sizes.width - 1) / Loop::Shape::kColumns + 1);
  op.launch(activation_gradients_kernel<Loop, T>, resident_blocks(op, work, Loop::kResident),
            dim3(Loop::Shape::kThreads), sizeof(typename Loop::Shared), p);
}

template <class Shape, class T>
void gate_gradients(Operation& op, const ExpertsGradient<T>& call, const ExpertTiles& tiles,
                    const float* dots) {
  const ExpertSizes& sizes = call.sizes;
  const bool accumulate = (call.accumulate & kAddDgates) != 0;
  if (!accumulate) {
    const size_t pairs = static_cast<size_t>(sizes.tokens) * sizes.experts;
    op.clear(call.dgates, pairs * sizeof(float));
  }
  const GateGradients p = {call.dgates, dots, call.plan, tiles.list(), dots_of<Shape>(sizes.width),
                           accumulate};
  op.launch(gate_gradients_kernel, resident_blocks(op, tiles.most(), 8), dim3(kGateThreads), 0, p);
}

template <class T>
void down_gradient(Operation& op, const ExpertsGradient<T>& call, const T* gated) {
  weight_gradients<T>(op, call.sizes,
                      {
                          .dw = call.dw2,
                          .partial = nullptr,
                          .a = gated,
                          .b = call.dy,
                          .gather_a = false,
                          .gather_b = true,
                          .plan = call.plan,
                          .m = call.sizes.width,
                          .n = call.sizes.hidden,
                          .splits = 1,
                          .accumulate = (call.accumulate & kAddDw2) != 0,
                      });
}

template <class T>
void gate_up_gradient(Operation& op, const ExpertsGradient<T>& call, const T* dh) {
  weight_gradients<T>(op, call.sizes,
                      {
                          .dw = call.dw1,
                          .partial = nullptr,
                          .a = call.x,
                          .b = dh,
                          .gather_a = true,
                          .gather_b = false,
                          .plan = call.plan,
                          .m = call.sizes.hidden,
                          .n = 2 * call.sizes.width,
                          .splits = 1,
                          .accumulate = (call.accumulate & kAddDw1) != 0,
                      });
}

template <class Loop, class T>
void input_gradient(Operation& op, const ExpertsGradient<T>& call, const ExpertTiles& tiles,
                    const T* dh) {
  const ExpertSizes& sizes = call.sizes;
  const Scratch<float> rows(op, static_cast<size_t>(sizes.most_rows) * sizes.hidden);
  const RowsProduct<T> p = {
      .to = rows.data(),
      .a = dh,
      .w = call.w1,
      .list = tiles.list(),
      .n = sizes.hidden,
      .k = 2 * sizes.width,
  };
  launch_rows_product<Loop, true>(op, p, tiles.most());
  combine(op, call.dx, rows.data(), call.plan, sizes.hidden, (call.accumulate & kAddDx) != 0);
}

template <class Loop, class T>
void gradient_by_tiles(Operation& op, const ExpertsGradient<T>& call) {
  const ExpertSizes& sizes = call.sizes;
  const size_t most_rows = static_cast<size_t>(sizes.most_rows);
  using Shape = typename Loop::Shape;
  const ExpertTiles tiles(op, call.plan, sizes, Shape::kRows);
  const Scratch<T> dh(op, most_rows * 2 * sizes.width);
  {
    // Freed before the rows of dx are taken, which may then lie in the same memory.
    const Scratch<T> gated(op, call.dw2 != nullptr ? most_rows * sizes.width : 1);
    const Scratch<float> dots(op,
                              call.dgates != nullptr ? most_rows * dots_of<Shape>(sizes.width) : 1);
    activation_gradients<Loop>(op, call, tiles,
                               {dh.data(), call.dw2 != nullptr ? gated.data() : nullptr,
                                call.dgates != nullptr ? dots.data() : nullptr});
    if (call.dgates != nullptr) gate_gradients<Shape>(op, call, tiles, dots.data());
    if (call.dw2 != nullptr) down_gradient(op, call, gated.data());
  }
  if (call.dw1 != nullptr) gate_up_gradient(op, call, dh.data());
  if (call.dx != nullptr) input_gradient<Loop>(op, call, tiles, dh.data());
}

}  // namespace

template <class T>
void experts_gradient_simt(Operation& op, const ExpertsGradient<T>& call) {
  with_rows_loop<T>(call.sizes, [&]<class Loop>(Loop) { gradient_by_tiles<Loop>(op, call); });
}

template void experts_gradient_simt(Operation&, const ExpertsGradient<float>&);
template void experts_gradient_simt(Operation&, const ExpertsGradient<Bf16>&);

}  // namespace remoe
