// Chooses the path of each dense product, and divides those that take tiles of any sizes.
//
// Products of few tiles would leave most of the device idle; those of great depth, as gradients of
// weights and the products of generation are, are divided along it. The parts' sums go through
// memory and are added in the order of the depth. How a product is divided follows from its sizes
// alone, so the same product gives the same bits everywhere.
#include <algorithm>

#include "gemm/has_tensor_cores.h"
#include "gemm/join_parts.h"
#include "gemm/mma_product.h"
#include "gemm/product.h"
#include "gemm/product_tensor_cores.h"
#include "gemm/simt_kernel.h"
#include "runtime/dtype.h"

namespace remoe {

// Defined beside their kernels.
template <>
void launch_simt<float, float>(Operation&, SimtTile, const Product&, const SimtProduct&, int);
template <>
void launch_simt<Bf16, Bf16>(Operation&, SimtTile, const Product&, const SimtProduct&, int);
template <>
void launch_simt<float, Bf16>(Operation&, SimtTile, const Product&, const SimtProduct&, int);
template <>
void launch_simt<Bf16, float>(Operation&, SimtTile, const Product&, const SimtProduct&, int);

namespace {

// The least depth worth a part: its sums are written and read once more.
constexpr int kLeastDepth = 128;
constexpr int kMostSplits = 64;

int tiles_of(int size, int tile) { return (size - 1) / tile + 1; }

struct Division {
  SimtTile tile;
  int row_tiles;
  int column_tiles;
  int splits;
  int split_depth;
};

template <class Loop>
Division divide_into(SimtTile tile, const Product& p) {
  using Shape = typename Loop::Shape;
  Division division = {tile, tiles_of(p.m, Shape::kRows), tiles_of(p.n, Shape::kColumns), 1, 0};
  const int64_t tiles = static_cast<int64_t>(division.row_tiles) * division.column_tiles;
  const int64_t wanted =
      std::min<int64_t>(kMultiprocessors * Loop::kResident / tiles, p.k / kLeastDepth);
  const int splits = static_cast<int>(std::clamp<int64_t>(wanted, 1, kMostSplits));
  division.split_depth = tiles_of(tiles_of(p.k, splits), Loop::kDepth) * Loop::kDepth;
  division.splits = tiles_of(p.k, division.split_depth);
  return division;
}

Division divide(const Product& p) {
  using Medium = SimtLoop<MediumTile>;
  if (p.dtype_a != p.dtype_b) return divide_into<Medium>(SimtTile::kMedium, p);
  if (p.m <= FlatTile::kRows) return divide_into<SimtLoop<FlatTile>>(SimtTile::kFlat, p);
  if (p.dtype_a == REMOE_BF16) return divide_into<MmaLoop>(SimtTile::kMma, p);
  const Division large = divide_into<SimtLoop<LargeTile>>(SimtTile::kLarge, p);
  const int64_t blocks = static_cast<int64_t>(large.row_tiles) * large.column_tiles * large.splits;
  return blocks >= kMultiprocessors * 3 / 4 ? large : divide_into<Medium>(SimtTile::kMedium, p);
}

void launch(Operation& op, const Division& division, const Product& product, float* partial) {
  const SimtProduct p = {
      .a = product.a,
      .b = product.b,
      .c = product.c,
      .partial = partial,
      .lda = static_cast<size_t>(product.lda),
      .ldb = static_cast<size_t>(product.ldb),
      .ldc = static_cast<size_t>(product.ldc),
      .m = product.m,
      .n = product.n,
      .k = product.k,
      .split_depth = division.split_depth,
      .row_tiles = division.row_tiles,
      .column_tiles = division.column_tiles,
      .alpha = product.alpha,
      .beta = product.beta,
      .c_is_bf16 = product.dtype_c == REMOE_BF16,
  };
  with_activations(product.dtype_a, [&]<class A>(A) {
    with_activations(product.dtype_b, [&]<class B>(B) {
      launch_simt<A, B>(op, division.tile, product, p, division.splits);
    });
  });
}

}  // namespace

void multiply_simt(Operation& op, const Product& product) {
  const Division division = divide(product);
  if (division.splits == 1) return launch(op, division, product, nullptr);
  const Scratch<float> partial(op, static_cast<size_t>(division.splits) * product.m * product.n);
  launch(op, division, product, partial.data());
  with_activations(product.dtype_c, [&]<class C>(C) {
    join_parts<C>(op, {static_cast<C*>(product.c), static_cast<size_t>(product.ldc), partial.data(),
                       division.splits, static_cast<size_t>(product.m) * product.n, product.n,
                       product.alpha, product.beta});
  });
}

void multiply(Operation& op, const Product& product) {
  if (fits_few_rows(product)) return multiply_few_rows(op, product);
  if (fits_shallow(product)) return multiply_shallow(op, product);
  if (fits_narrow(product)) return multiply_narrow(op, product);
  if (fits_tensor_cores(product) && has_tensor_cores(op)) {
    return multiply_tensor_cores(op, product);
  }
  multiply_simt(op, product);
}

}  // namespace remoe
