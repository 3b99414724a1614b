// The experts' six products on the tensor cores. With h = (g | u) = x W1 of a row and A = silu(g)
// u:
//
//   forward   h = x W1, a = gate A      kept in bf16; x gathered
//             rows = a W2               fp32, added by token (combine.h)
//   gradient  dA' = dy W2^T             dy gathered; (dg | du), gate A, and dgate = <dA', A>
//             dx rows = (dg | du) W1^T
//             dW1 = x^T (dg | du), dW2 = (gate A)^T dy
//
// h of rows from kept_rows on is recomputed by the forward pass's product into (dg | du).
#include "gemm/grouped_maps.h"
#include "gemm/grouped_product.h"
#include "moe/combine.h"
#include "moe/experts_tensor_cores.h"
#include "moe/swiglu_epilogues.h"

namespace remoe {
namespace {

using namespace grouped;

using UpProduct = Product<true, false, false, false, true, SwiGlu>;
using DownProduct = Product<false, false, false, false, false, StoreFloat<false>>;
using ActivationGradient = Product<true, false, false, true, false, SwiGluGradient>;
using InputGradient = Product<false, false, false, true, false, StoreFloat<false>>;
using UpWeightGradient = Product<true, false, true, false, false, StoreFloat<true>>;
using DownWeightGradient = Product<false, true, true, false, false, StoreFloat<true>>;

constexpr int kMostColumns = 1 << 28;

bool fits(const ExpertSizes& sizes, std::initializer_list<const void*> addresses) {
  for (const void* address : addresses) {
    if (reinterpret_cast<uintptr_t>(address) % 16 != 0) return false;
  }
  return sizes.hidden % 8 == 0 && sizes.width % 8 == 0 && sizes.hidden <= kMostColumns &&
         sizes.width <= kMostColumns && sizes.experts <= kMostGroups;
}

Arguments arguments(const PlanView& plan) {
  Arguments a = {};
  a.groups = {.plan = plan, .count = plan.experts, .step = 0, .total = 0};
  a.alpha = 1.0f;
  return a;
}

// The pre-activations of the plan's rows, except tiles that end at or before row `skipped`: h of
// the first `kept_rows` rows and gate A, either if its address is given.
void multiply_up(Operation& op, const PlanView& plan, const ExpertSizes& sizes, const Bf16* x,
                 const Bf16* w1, const float* gates, Bf16* h, int kept_rows, Bf16* gated,
                 int skipped) {
  const auto [tokens, hidden, width, experts, most_rows] = sizes;
  Arguments a = arguments(plan);
  a.columns = width;
  a.depth = hidden;
  a.skipped = skipped;
  a.a = x;
  a.a_stride = hidden;
  a.out = gated;
  a.out2 = h;
  a.gates = gates;
  a.kept_rows = kept_rows;
  Maps maps = {};
  maps.b = map_matrix(w1, experts, hidden, 2 * width, 2 * width);
  if (gated != nullptr) maps.out = map_matrix(gated, 1, most_rows, width, width, kWarpRows);
  if (h != nullptr) maps.out2 = map_halves(h, kept_rows, width, kWarpRows);
  launch_product<UpProduct>(op, a, maps, most_rows);
}

// rows [most_rows, columns] in fp32 = a B, a [most_rows, depth].
template <class P>
void multiply_rows(Operation& op, const PlanView& plan, float* rows, const Bf16* a_rows, int depth,
                   const TensorMap& b, int columns) {
  Arguments a = arguments(plan);
  a.columns = columns;
  a.depth = depth;
  a.out = rows;
  Maps maps = {};
  maps.a = map_matrix(a_rows, 1, plan.most_rows, depth, depth);
  maps.b = b;
  maps.out = map_floats(rows, 1, plan.most_rows, columns, columns);
  launch_product<P>(op, a, maps, plan.most_rows);
}

// ---- the gradient's steps

struct GradientRows {
  Bf16* dh;        // [most_rows, 2W]: dg | du
  Bf16* gated;     // [most_rows, W]: gate A
  float* partial;  // [most_rows, column tiles]: <dA', A>
};

int partial_tiles(int width) { return divide_up(width, kTileColumns); }

void activation_gradient(Operation& op, const ExpertsGradient<Bf16>& call,
                         const GradientRows& rows) {
  const auto [tokens, hidden, width, experts, most_rows] = call.sizes;
  if (call.kept_rows < most_rows) {
    multiply_up(op, call.plan, call.sizes, call.x, call.w1, nullptr, rows.dh, most_rows, nullptr,
                call.kept_rows);
  }
  Arguments a = arguments(call.plan);
  a.columns = width;
  a.depth = hidden;
  a.a = call.dy;
  a.a_stride = hidden;
  a.out = rows.dh;
  a.out2 = rows.gated;
  a.gates = call.gates;
  a.partial = rows.partial;
  a.kept_rows = call.kept_rows;
  Maps maps = {};
  maps.b = map_matrix(call.w2, experts, width, hidden, hidden);
  maps.recomputed = map_halves(rows.dh, most_rows, width, kSide);
  maps.h = call.kept_rows > 0 ? map_halves(call.h, call.kept_rows, width, kSide) : maps.recomputed;
  maps.out = map_halves(rows.dh, most_rows, width, kWarpRows);
  maps.out2 = map_matrix(rows.gated, 1, most_rows, width, width, kWarpRows);
  launch_product<ActivationGradient>(op, a, maps, most_rows);
}

void input_gradient(Operation& op, const ExpertsGradient<Bf16>& call, const GradientRows& rows) {
  const auto [tokens, hidden, width, experts, most_rows] = call.sizes;
  const Scratch<float> dx_rows(op, static_cast<size_t>(most_rows) * hidden);
  const TensorMap w1 = map_matrix(call.w1, experts, hidden, 2 * width, 2 * width);
  multiply_rows<InputGradient>(op, call.plan, dx_rows.data(), rows.dh, 2 * width, w1, hidden);
  combine(op, call.dx, dx_rows.data(), call.plan, hidden, (call.accumulate & kAddDx) != 0);
}

void up_weight_gradient(Operation& op, const ExpertsGradient<Bf16>& call,
                        const GradientRows& rows) {
  const auto [tokens, hidden, width, experts, most_rows] = call.sizes;
  Arguments a = arguments(call.plan);
  a.rows = hidden;
  a.columns = 2 * width;
  a.a = call.x;
  a.b = rows.dh;
  a.accumulate = (call.accumulate & kAddDw1) != 0;
  Maps maps = {};
  maps.b = map_matrix(rows.dh, 1, most_rows, 2 * width, 2 * width);
  maps.out = map_floats(call.dw1, experts, hidden, 2 * width, 2 * width);
  launch_product<UpWeightGradient>(op, a, maps, hidden);
}

void down_weight_gradient(Operation& op, const ExpertsGradient<Bf16>& call,
                          const GradientRows& rows) {
  const auto [tokens, hidden, width, experts, most_rows] = call.sizes;
  Arguments a = arguments(call.plan);
  a.rows = width;
  a.columns = hidden;
  a.a = rows.gated;
  a.b = call.dy;
  a.accumulate = (call.accumulate & kAddDw2) != 0;
  Maps maps = {};
  maps.a = map_matrix(rows.gated, 1, most_rows, width, width);
  maps.out = map_floats(call.dw2, experts, width, hidden, hidden);
  launch_product<DownWeightGradient>(op, a, maps, width);
}

constexpr int kGateThreads = 256;

// dgates of the routed pairs: each row's partial products, added in their order.
__global__ void __launch_bounds__(kGateThreads)
    gate_gradient_kernel(float* dgates, const float* partial, int tiles, PlanView plan,
                         bool accumulate) {
  const int rows = plan.rows();
  const int stride = static_cast<int>(gridDim.x) * kGateThreads;
  for (int row = static_cast<int>(blockIdx.x * kGateThreads + threadIdx.x); row < rows;
       row += stride) {
    int low = 0;  // expert_offset[low] <= row < expert_offset[high]
    int high = plan.experts;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (plan.expert_offset()[middle] <= row) {
        low = middle;
      } else {
        high = middle;
      }
    }
    float* to = dgates + static_cast<size_t>(plan.row_token()[row]) * plan.experts + low;
    float sum = 0.0f;
    for (int i = 0; i < tiles; i++) sum += partial[static_cast<size_t>(row) * tiles + i];
    *to = accumulate ? *to + sum : sum;
  }
}

void gate_gradient(Operation& op, const ExpertsGradient<Bf16>& call, const GradientRows& rows) {
  const ExpertSizes& sizes = call.sizes;
  const bool accumulate = (call.accumulate & kAddDgates) != 0;
  if (!accumulate) {
    const size_t bytes = sizeof(float) * sizes.tokens * sizes.experts;
    op.clear(call.dgates, bytes);
  }
  const auto most = 8 * static_cast<unsigned>(op.context.multiprocessors);
  op.launch(gate_gradient_kernel, dim3(grid_blocks(sizes.most_rows, kGateThreads, most)),
            dim3(kGateThreads), 0, call.dgates, rows.partial, partial_tiles(sizes.width), call.plan,
            accumulate);
}

}  // namespace

bool fits_tensor_cores(const ExpertsForward<Bf16>& call) {
  return fits(call.sizes, {call.h, call.x, call.w1, call.w2});
}

bool fits_tensor_cores(const ExpertsGradient<Bf16>& call) {
  return fits(call.sizes, {call.dw1, call.dw2, call.dy, call.h, call.x, call.w1, call.w2});
}

void experts_forward_tensor_cores(Operation& op, const ExpertsForward<Bf16>& call) {
  const auto [tokens, hidden, width, experts, most_rows] = call.sizes;
  const Scratch<Bf16> gated(op, static_cast<size_t>(most_rows) * width);
  const Scratch<float> rows(op, static_cast<size_t>(most_rows) * hidden);
  multiply_up(op, call.plan, call.sizes, call.x, call.w1, call.gates, call.h, call.kept_rows,
              gated.data(), 0);
  const TensorMap w2 = map_matrix(call.w2, experts, width, hidden, hidden);
  multiply_rows<DownProduct>(op, call.plan, rows.data(), gated.data(), width, w2, hidden);
  combine(op, call.y, rows.data(), call.plan, hidden, false);
}

void experts_gradient_tensor_cores(Operation& op, const ExpertsGradient<Bf16>& call) {
  const auto width = static_cast<size_t>(call.sizes.width);
  const auto most_rows = static_cast<size_t>(call.sizes.most_rows);
  const Scratch<Bf16> dh(op, most_rows * 2 * width);
  const Scratch<Bf16> gated(op, most_rows * width);
  const Scratch<float> partial(op, most_rows * partial_tiles(call.sizes.width));
  const GradientRows rows = {dh.data(), gated.data(), partial.data()};
  activation_gradient(op, call, rows);
  if (call.dx != nullptr) input_gradient(op, call, rows);
  if (call.dw1 != nullptr) up_weight_gradient(op, call, rows);
  if (call.dw2 != nullptr) down_weight_gradient(op, call, rows);
  if (call.dgates != nullptr) gate_gradient(op, call, rows);
}

}  // namespace remoe
