#include <cmath>

#include "device/block_reduce.h"
#include "gemm/grouped_maps.h"
#include "gemm/grouped_product.h"
#include "gemm/has_tensor_cores.h"
#include "gemm/product_tensor_cores.h"
#include "model/cross_entropy_epilogues.h"
#include "model/cross_entropy_tensor_cores.h"

namespace remoe {
namespace {

template <class E>
using HeadProduct = grouped::Product<false, false, false, false, false, E>;

constexpr int kJoinThreads = 256;
constexpr int kJoinWarps = kJoinThreads / kWarp;

Product product_of(const BF16Head& head, const Bf16* logits, int64_t stride) {
  return {.m = head.tokens,
          .n = head.vocabulary,
          .k = head.hidden,
          .dtype_a = REMOE_BF16,
          .a = head.x,
          .lda = head.hidden,
          .dtype_b = REMOE_BF16,
          .b = head.w,
          .ldb = head.vocabulary,
          .dtype_c = REMOE_BF16,
          .c = const_cast<Bf16*>(logits),
          .ldc = stride};
}

// The product for columns [begin, end) of W.
template <class E>
void multiply_head(Operation& op, const BF16Head& head, grouped::Arguments a, int begin, int end,
                   Bf16* out, int64_t stride) {
  const int columns = end - begin;
  a.groups.count = 1;
  a.groups.step = a.groups.total = head.tokens;
  a.columns = columns;
  a.depth = head.hidden;
  a.alpha = 1.0f;
  a.targets = head.targets;
  grouped::Maps maps = {};
  maps.a = grouped::map_matrix(head.x, 1, head.tokens, head.hidden, head.hidden);
  maps.b = grouped::map_matrix(head.w + begin, 1, head.hidden, columns, head.vocabulary);
  if (out != nullptr) {
    maps.out = grouped::map_matrix(out, 1, head.tokens, columns, stride, grouped::kWarpRows);
  }
  grouped::launch_product<HeadProduct<E>>(op, a, maps, head.tokens);
}

// A warp joins a row's tiles, each lane every 32nd.
__global__ void __launch_bounds__(kJoinThreads)
    join_tiles_kernel(float* normalizer, const float* partial, int tokens, int tiles) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t t =
      static_cast<int64_t>(blockIdx.x) * kJoinWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (t >= tokens) return;
  const auto* row = reinterpret_cast<const Vector<float, 2>*>(partial) + t * tiles;
  float largest = -INFINITY;
  for (int i = lane; i < tiles; i += kWarp) largest = fmaxf(largest, row[i].element[0]);
  largest = warp_reduce(largest, [](float a, float b) { return fmaxf(a, b); });
  // If all logits are -infinity, the difference of two of them would be NaN.
  const float shift = largest == -INFINITY ? 0.0f : largest;
  float total = 0.0f;
  for (int i = lane; i < tiles; i += kWarp) {
    total += expf(row[i].element[0] - shift) * row[i].element[1];
  }
  total = warp_sum(total);
  if (lane != 0) return;
  normalizer[2 * t] = largest;
  normalizer[2 * t + 1] = total;
}

}  // namespace

bool fits_tensor_cores(Operation& op, const BF16Head& head, const Bf16* logits, int64_t stride) {
  const bool is_stored = logits != nullptr;
  // Where there is nothing to store, anything that fits will do.
  const Product product = product_of(head, is_stored ? logits : head.x, is_stored ? stride : 8);
  return fits_tensor_cores(product) && fits_tensor_map(product.c, product.ldc, sizeof(Bf16)) &&
         has_tensor_cores(op);
}

void normalize_logits(Operation& op, const BF16Head& head, float* normalizer, float* target_logit,
                      Bf16* kept, int64_t stride) {
  const int tiles = grouped::divide_up(head.vocabulary, grouped::kTileColumns);
  const Scratch<float> partial(op, 2 * static_cast<size_t>(head.tokens) * tiles);
  grouped::Arguments a = {};
  a.partial = partial.data();
  a.target_logit = target_logit;
  if (kept != nullptr) {
    multiply_head<grouped::NormalizeLogits<true>>(op, head, a, 0, head.vocabulary, kept, stride);
  } else {
    multiply_head<grouped::NormalizeLogits<false>>(op, head, a, 0, head.vocabulary, nullptr, 0);
  }
  op.launch(join_tiles_kernel, dim3((head.tokens + kJoinWarps - 1) / kJoinWarps),
            dim3(kJoinThreads), 0, normalizer, partial.data(), head.tokens, tiles);
}

void differentiate_logits(Operation& op, const BF16Head& head, const float* row_factors, int begin,
                          int end, Bf16* dz, int64_t stride) {
  grouped::Arguments a = {};
  a.row_factors = row_factors;
  a.first_target = begin;
  multiply_head<grouped::DifferentiateLogits>(op, head, a, begin, end, dz, stride);
}

}  // namespace remoe
