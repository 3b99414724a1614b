// The experts' forward pass for a handful of tokens, as in generation: each active expert's weights
// are read once, in strips narrow enough to keep the device busy with few experts.
#include "gemm/few_rows.h"
#include "gemm/write_sums.h"
#include "moe/combine.h"
#include "moe/expert_paths.h"
#include "moe/expert_tiles.h"
#include "moe/swiglu.h"

namespace remoe {
namespace {

constexpr int kMostTokens = 16;
constexpr int kStrip = 64;
constexpr int kHalf = kStrip / 2;

template <class T>
struct FewRows {
  T* a;         // [rows, W]: gate * silu(g) * u
  float* rows;  // [rows, D]: of the second product
  const T* x;
  const T* w1;
  const T* w2;
  const float* gates;
  PlanView plan;
  TileList list;
  int hidden;
  int width;
};

// The strips of a kernel, expert by expert; a listed tile has all rows of its expert. What a body
// reads of shared.sums, the next one overwrites after barriers of its own product.
template <class Body>
__device__ __forceinline__ void for_each_strip(const TileList& list, int strips, Body&& body) {
  const size_t count = static_cast<size_t>(*list.count) * strips;
  for (size_t i = blockIdx.x; i < count; i += gridDim.x) {
    body(list.tiles[i / strips], static_cast<int>(i % strips));
  }
}

// a, from strips of W_gate and W_up side by side.
template <class S, class T>
__global__ void __launch_bounds__(kFewRowsThreads) up_kernel(FewRows<T> p) {
  auto& shared = gpu::shared<FewRowsShared<S>>();
  for_each_strip(p.list, (p.width - 1) / kHalf + 1, [&](const ExpertTile& tile, int strip) {
    const int column = strip * kHalf;
    const int32_t* token = p.plan.row_token() + tile.row;
    const size_t stride = 2 * static_cast<size_t>(p.width);
    const bool is_up = S::column() >= kHalf;
    const int of_half = S::column() - (is_up ? kHalf : 0);
    const T* w = p.w1 + tile.expert * p.hidden * stride + (is_up ? p.width : 0) + column;
    const bool wide = has_wide_rows(w, p.width);
    few_rows_product<S, T>(
        shared, tile.rows, 0, p.hidden,
        [&](int row, int d) {
          return to_float(p.x[static_cast<size_t>(token[row]) * p.hidden + d]);
        },
        [&](T(&to)[kFour], int d) {
          load_run(to, w + d * stride, of_half, p.width - column, wide);
        });
    for (int i = static_cast<int>(threadIdx.x); i < tile.rows * kHalf; i += kFewRowsThreads) {
      const int row = i / kHalf;
      const int at = i % kHalf;
      if (column + at >= p.width) continue;
      const float gate = p.gates[static_cast<size_t>(token[row]) * p.plan.experts + tile.expert];
      const float g = rounded_to<T>(shared.sums[row][at]);
      const float u = rounded_to<T>(shared.sums[row][kHalf + at]);
      p.a[(static_cast<size_t>(tile.row) + row) * p.width + column + at] =
          to_element<T>(gate * swiglu(g, u));
    }
  });
}

template <class S, class T>
__global__ void __launch_bounds__(kFewRowsThreads) down_kernel(FewRows<T> p) {
  auto& shared = gpu::shared<FewRowsShared<S>>();
  for_each_strip(p.list, (p.hidden - 1) / kStrip + 1, [&](const ExpertTile& tile, int strip) {
    const int column = strip * kStrip;
    const size_t stride = static_cast<size_t>(p.hidden);
    const T* a = p.a + static_cast<size_t>(tile.row) * p.width;
    const T* w = p.w2 + static_cast<size_t>(tile.expert) * p.width * stride + column;
    const bool wide = has_wide_rows(w, stride);
    few_rows_product<S, T>(
        shared, tile.rows, 0, p.width,
        [&](int row, int d) { return to_float(a[static_cast<size_t>(row) * p.width + d]); },
        [&](T(&to)[kFour], int d) {
          load_run(to, w + d * stride, S::column(), p.hidden - column, wide);
        });
    for (int i = static_cast<int>(threadIdx.x); i < tile.rows * kStrip; i += kFewRowsThreads) {
      const int row = i / kStrip;
      const int at = i % kStrip;
      if (column + at >= p.hidden) continue;
      p.rows[(static_cast<size_t>(tile.row) + row) * stride + column + at] = shared.sums[row][at];
    }
  });
}

template <int kRows, class T>
void launch(Operation& op, const FewRows<T>& p, size_t most_tiles) {
  using S = Strip<kRows, kStrip>;
  constexpr int kResident = 4;
  const dim3 block(kFewRowsThreads);
  const uint64_t up = most_tiles * ((p.width - 1) / kHalf + 1);
  const uint64_t down = most_tiles * ((p.hidden - 1) / kStrip + 1);
  op.launch(up_kernel<S, T>, resident_blocks(op, up, kResident), block, sizeof(FewRowsShared<S>),
            p);
  op.launch(down_kernel<S, T>, resident_blocks(op, down, kResident), block,
            sizeof(FewRowsShared<S>), p);
}

}  // namespace

template <class T>
bool fits_few_rows(const ExpertsForward<T>& call) {
  return call.kept_rows == 0 && call.sizes.tokens <= kMostTokens;
}

template <class T>
void experts_forward_few_rows(Operation& op, const ExpertsForward<T>& call) {
  const ExpertSizes& sizes = call.sizes;
  const size_t most_rows = static_cast<size_t>(sizes.most_rows);
  const Scratch<T> a(op, most_rows * sizes.width);
  const Scratch<float> rows(op, most_rows * sizes.hidden);
  const ExpertTiles tiles(op, call.plan, sizes, kMostTokens);
  const FewRows<T> p = {
      .a = a.data(),
      .rows = rows.data(),
      .x = call.x,
      .w1 = call.w1,
      .w2 = call.w2,
      .gates = call.gates,
      .plan = call.plan,
      .list = tiles.list(),
      .hidden = sizes.hidden,
      .width = sizes.width,
  };
  if (sizes.tokens == 1) {
    launch<1>(op, p, tiles.most());
  } else if (sizes.tokens <= 4) {
    launch<4>(op, p, tiles.most());
  } else {
    launch<kMostTokens>(op, p, tiles.most());
  }
  combine(op, call.y, rows.data(), call.plan, sizes.hidden, false);
}

template bool fits_few_rows(const ExpertsForward<float>&);
template bool fits_few_rows(const ExpertsForward<Bf16>&);
template void experts_forward_few_rows(Operation&, const ExpertsForward<float>&);
template void experts_forward_few_rows(Operation&, const ExpertsForward<Bf16>&);

}  // namespace remoe
