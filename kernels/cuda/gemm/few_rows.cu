#include <algorithm>

#include "gemm/few_rows_kernel.h"
#include "gemm/join_parts.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

// Blocks in flight on the largest devices: enough reads to fill the memory's latency.
constexpr int64_t kFullDevice = 4 * kMultiprocessors;
constexpr int kStrip = 128;
// Two rounds of reads of each group.
constexpr int kLeastDepth = 2 * kAhead * Strip<1, kStrip>::kGroups;
constexpr int kMostSplits = 64;
constexpr int kMostRows = 16;

// Depth of a part. Follows from the sizes alone, so the same product gives the same bits
// everywhere.
int split_depth_of(const Product& p) {
  const int64_t strips = (p.n - 1) / kStrip + 1;
  const int64_t wanted = std::min<int64_t>(kFullDevice / strips, p.k / kLeastDepth);
  const int splits = static_cast<int>(std::clamp<int64_t>(wanted, 1, kMostSplits));
  return ((p.k - 1) / splits / kLeastDepth + 1) * kLeastDepth;
}

template <int kRows>
void launch(Operation& op, const Product& product, const SimtProduct& p, int splits) {
  const bool is_bf16 = product.dtype_a == REMOE_BF16;
  const size_t lda = static_cast<size_t>(product.lda);
  const FewRowsOperand of_a = {product.a, is_bf16, product.transpose_a ? 1 : lda,
                               product.transpose_a ? lda : 1};
  const dim3 grid(static_cast<unsigned>((p.n - 1) / kStrip + 1), static_cast<unsigned>(splits));
  with_activations(product.dtype_b, [&]<class B>(B) {
    using S = Strip<kRows, kStrip>;
    op.launch(few_rows_kernel<S, B>, grid, dim3(kFewRowsThreads), sizeof(FewRowsShared<S>), p,
              of_a);
  });
}

}  // namespace

bool fits_few_rows(const Product& product) {
  return product.m <= kMostRows && !product.transpose_b;
}

void multiply_few_rows(Operation& op, const Product& product) {
  const int depth = split_depth_of(product);
  const int splits = (product.k - 1) / depth + 1;
  const size_t count = static_cast<size_t>(product.m) * product.n;
  const Scratch<float> partial(op, splits == 1 ? 1 : splits * count);
  const SimtProduct p = {
      .a = product.a,
      .b = product.b,
      .c = product.c,
      .partial = splits == 1 ? nullptr : partial.data(),
      .lda = static_cast<size_t>(product.lda),
      .ldb = static_cast<size_t>(product.ldb),
      .ldc = static_cast<size_t>(product.ldc),
      .m = product.m,
      .n = product.n,
      .k = product.k,
      .split_depth = depth,
      .row_tiles = 1,
      .column_tiles = 1,
      .alpha = product.alpha,
      .beta = product.beta,
      .c_is_bf16 = product.dtype_c == REMOE_BF16,
  };
  if (product.m == 1) {
    launch<1>(op, product, p, splits);
  } else if (product.m <= 4) {
    launch<4>(op, product, p, splits);
  } else {
    launch<kMostRows>(op, product, p, splits);
  }
  if (splits == 1) return;
  with_activations(product.dtype_c, [&]<class C>(C) {
    join_parts<C>(op, {static_cast<C*>(product.c), p.ldc, p.partial, splits, count, product.n,
                       product.alpha, product.beta});
  });
}

}  // namespace remoe
