// Dense products are grouped ones of a single group: C = A B and A B^T have their rows grouped, and
// A^T B its depth, in as many groups as fill the device.
//
// A tile's result is stored as it is if C takes nothing but alpha A B, or if C is fp32 and is added
// to. Else, and where the depth is divided, the parts go through memory (join_parts.h).
#include "gemm/grouped_maps.h"
#include "gemm/grouped_product.h"
#include "gemm/join_parts.h"
#include "gemm/product_tensor_cores.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

using namespace grouped;

template <bool kTransposedB, class E>
using RowProduct = grouped::Product<false, false, false, kTransposedB, false, E>;
using DepthProduct = grouped::Product<false, false, true, false, false, StoreFloat<true>>;

// Less depth would not hide a tile's beginning and end.
constexpr int kLeastDepth = 512;
// Of C: smaller ones are done sooner by tiles of few rows.
constexpr int kLeastRows = 64;

bool is_mapped(const void* data, int64_t stride, int32_t dtype) {
  return fits_tensor_map(data, stride, bytes_of(dtype));
}

// Whether results can be stored without a look at what C holds.
bool stores_directly(const remoe::Product& p) {
  return p.beta == 0.0f || (p.beta == 1.0f && p.dtype_c == REMOE_F32);
}

// The groups of the depth of A^T B.
int depth_groups(const remoe::Product& p, int multiprocessors) {
  const int64_t tiles = int64_t{divide_up(p.m, kTileRows)} * divide_up(p.n, kTileColumns);
  const int64_t wanted = std::min<int64_t>(multiprocessors / tiles, p.k / kLeastDepth);
  return static_cast<int>(std::clamp<int64_t>(wanted, 1, kMostGroups));
}

Arguments arguments(const remoe::Product& p) {
  Arguments a = {};
  a.groups.count = 1;
  a.columns = p.n;
  a.depth = p.k;
  a.alpha = p.alpha;
  a.accumulate = p.beta != 0.0f;
  return a;
}

template <bool kTransposedB>
void multiply_rows(Operation& op, const remoe::Product& p) {
  Arguments a = arguments(p);
  a.groups.step = a.groups.total = p.m;
  Maps maps = {};
  maps.a = map_matrix(p.a, 1, p.m, p.k, p.lda);
  maps.b = kTransposedB ? map_matrix(p.b, 1, p.n, p.k, p.ldb) : map_matrix(p.b, 1, p.k, p.n, p.ldb);
  if (p.dtype_c == REMOE_BF16) {
    maps.out = map_matrix(p.c, 1, p.m, p.n, p.ldc, kWarpRows);
    launch_product<RowProduct<kTransposedB, StoreBf16>>(op, a, maps, p.m);
  } else {
    maps.out = map_floats(p.c, 1, p.m, p.n, p.ldc);
    launch_product<RowProduct<kTransposedB, StoreFloat<true>>>(op, a, maps, p.m);
  }
}

// C [groups, m, n], of `groups` equal parts of the depth.
void multiply_depth(Operation& op, const remoe::Product& p, int groups) {
  Arguments a = arguments(p);
  a.rows = p.m;
  a.groups.count = groups;
  a.groups.step = divide_up(divide_up(p.k, groups), kDepth) * kDepth;
  a.groups.total = p.k;
  Maps maps = {};
  maps.a = map_matrix(p.a, 1, p.k, p.m, p.lda);
  maps.b = map_matrix(p.b, 1, p.k, p.n, p.ldb);
  maps.out = map_floats(p.c, groups, p.m, p.n, p.ldc);
  launch_product<DepthProduct>(op, a, maps, p.m);
}

void multiply_parts(Operation& op, const remoe::Product& p, int groups) {
  if (p.transpose_a) {
    multiply_depth(op, p, groups);
  } else if (p.transpose_b) {
    multiply_rows<true>(op, p);
  } else {
    multiply_rows<false>(op, p);
  }
}

}  // namespace

bool fits_tensor_cores(const remoe::Product& p) {
  if (p.dtype_a != REMOE_BF16 || p.dtype_b != REMOE_BF16) return false;
  if (p.transpose_a && p.transpose_b) return false;
  if (p.m < kLeastRows || !is_mapped(p.a, p.lda, p.dtype_a)) return false;
  if (!is_mapped(p.b, p.ldb, p.dtype_b)) return false;
  const bool is_direct = stores_directly(p) && is_mapped(p.c, p.ldc, p.dtype_c);
  // Parts are mapped too.
  return is_direct && !p.transpose_a ? true : p.n % 4 == 0;
}

void multiply_tensor_cores(Operation& op, const remoe::Product& p) {
  const int groups = p.transpose_a ? depth_groups(p, op.context.multiprocessors) : 1;
  const bool is_direct = groups == 1 && stores_directly(p) && is_mapped(p.c, p.ldc, p.dtype_c) &&
                         !(p.transpose_a && p.dtype_c == REMOE_BF16);
  if (is_direct) return multiply_parts(op, p, 1);
  const size_t count = static_cast<size_t>(p.m) * p.n;
  const Scratch<float> partial(op, groups * count);
  remoe::Product part = p;
  part.dtype_c = REMOE_F32;
  part.c = partial.data();
  part.ldc = p.n;
  part.alpha = 1.0f;
  part.beta = 0.0f;
  multiply_parts(op, part, groups);
  with_activations(p.dtype_c, [&]<class C>(C) {
    join_parts<C>(op, {static_cast<C*>(p.c), static_cast<size_t>(p.ldc), partial.data(), groups,
                       count, p.n, p.alpha, p.beta});
  });
}

}  // namespace remoe
