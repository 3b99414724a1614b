// Products of great depth and few columns, as the gradients of routers' weights: they take as long
// as A does to be read.
//
// A lane has a few adjacent rows of C, which are adjacent in A as well, by all columns of its
// block, and each warp of a block takes every eighth depth of the block's part. The warps' sums are
// added in their order, and so are the parts'.
#include <algorithm>

#include "device/floats.h"
#include "gemm/join_parts.h"
#include "gemm/matrix_tile.h"
#include "gemm/product.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

constexpr int kWarpSize = 32;
constexpr int kWarps = 8;
constexpr int kThreads = kWarps * kWarpSize;
// Of a lane.
constexpr int kSums = 64;
constexpr int kMostColumns = 64;
constexpr int kLeastDepth = 256;
// Two blocks for each multiprocessor of the largest devices.
constexpr int kFullDevice = 2 * 132;

template <class A>
struct NarrowArguments {
  const A* a;      // [k, m]
  const float* b;  // [k, n]
  float* partial;  // [parts, m, n]
  size_t lda;
  size_t ldb;
  int m;
  int n;
  int k;
  int part_depth;
};

// What the warps add up at a time: as many sums of each lane as there are warps, so that each
// thread adds one.
struct NarrowShared {
  float sums[kWarps][kThreads];

  // Of a warp's sums, where the lane's number i of 8 lies: in banks of their own for one i of all
  // lanes, which are written together, as for all i of four lanes, which are read so.
  static __device__ __forceinline__ int place(int lane, int i) {
    static_assert(kWarps == 8);
    return lane * kWarps + (i ^ lane / 4);
  }
};

// Adds the products of depths that are `kWarps` apart; kAhead of them are read at a time.
template <int kWidth, class A>
__device__ __forceinline__ void add_products(const NarrowArguments<A>& p, int row, int column,
                                             int begin, int end,
                                             float (&sums)[kSums / kWidth][kWidth]) {
  constexpr int kRows = kSums / kWidth;
  // As the registers of two blocks allow.
  constexpr int kAhead = kRows * sizeof(A) + kWidth * sizeof(float) <= 48 ? 3 : 2;
  constexpr int kVector = kRows * sizeof(A) > 16 ? 16 / sizeof(A) : kRows;
  for (int first = begin; first < end; first += kAhead * kWarps) {
    Vector<A, kVector> a[kAhead][kRows / kVector] = {};
    Vector<float, kFour> b[kAhead][kWidth / kFour] = {};
#pragma unroll
    for (int l = 0; l < kAhead; l++) {
      const size_t d = first + l * kWarps;
      if (first + l * kWarps >= end) continue;
#pragma unroll
      for (int i = 0; i < kRows; i += kVector) {
        if (row < p.m) a[l][i / kVector] = load_vector<A, kVector>(p.a + d * p.lda + row + i);
      }
#pragma unroll
      for (int j = 0; j < kWidth; j += kFour) {
        if (column + j < p.n)
          b[l][j / kFour] = load_vector<float, kFour>(p.b + d * p.ldb + column + j);
      }
    }
#pragma unroll
    for (int l = 0; l < kAhead; l++) {
#pragma unroll
      for (int i = 0; i < kRows; i++) {
        const float of_a = to_float(a[l][i / kVector].element[i % kVector]);
#pragma unroll
        for (int j = 0; j < kWidth; j++) {
          sums[i][j] += of_a * b[l][j / kFour].element[j % kFour];
        }
      }
    }
  }
}

template <int kWidth, class A>
__global__ void __launch_bounds__(kThreads, 2) narrow_kernel(NarrowArguments<A> p) {
  constexpr int kRows = kSums / kWidth;
  NarrowShared& shared = gpu::shared<NarrowShared>();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kWarpSize;
  const int first_row = static_cast<int>(blockIdx.x) * kWarpSize * kRows;
  const int column = static_cast<int>(blockIdx.y) * kWidth;
  const int begin = static_cast<int>(blockIdx.z) * p.part_depth;
  const int end = p.k - begin < p.part_depth ? p.k : begin + p.part_depth;
  float sums[kRows][kWidth] = {};
  add_products(p, first_row + thread % kWarpSize * kRows, column, begin + warp, end, sums);
  float* part = p.partial + static_cast<size_t>(blockIdx.z) * p.m * p.n;
#pragma unroll
  for (int first = 0; first < kSums; first += kWarps) {
#pragma unroll
    for (int i = 0; i < kWarps; i++) {
      shared.sums[warp][NarrowShared::place(thread % kWarpSize, i)] =
          sums[(first + i) / kWidth][(first + i) % kWidth];
    }
    __syncthreads();
    const int own = NarrowShared::place(thread / kWarps, thread % kWarps);
    float sum = shared.sums[0][own];
#pragma unroll
    for (int w = 1; w < kWarps; w++) sum += shared.sums[w][own];
    const int place = first + thread % kWarps;
    const int row = first_row + thread / kWarps * kRows + place / kWidth;
    if (row < p.m && column + place % kWidth < p.n) {
      part[static_cast<size_t>(row) * p.n + column + place % kWidth] = sum;
    }
    __syncthreads();
  }
}

template <int kWidth, class A>
void launch(Operation& op, const Product& product, NarrowArguments<A> p) {
  const int rows = kWarpSize * kSums / kWidth;
  dim3 grid((p.m - 1) / rows + 1, (p.n - 1) / kWidth + 1);
  const int wanted =
      std::clamp<int>(kFullDevice / static_cast<int>(grid.x * grid.y), 1, p.k / (kLeastDepth / 2));
  p.part_depth = (p.k - 1) / wanted + 1;
  grid.z = static_cast<unsigned>((p.k - 1) / p.part_depth + 1);
  const size_t count = static_cast<size_t>(p.m) * p.n;
  const Scratch<float> partial(op, grid.z * count);
  p.partial = partial.data();
  op.launch(narrow_kernel<kWidth, A>, grid, dim3(kThreads), sizeof(NarrowShared), p);
  with_activations(product.dtype_c, [&]<class C>(C) {
    join_parts<C>(op, {static_cast<C*>(product.c), static_cast<size_t>(product.ldc), p.partial,
                       static_cast<int>(grid.z), count, p.n, product.alpha, product.beta});
  });
}

bool is_wide(const void* address, int64_t stride, int bytes) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0 && stride * bytes % 16 == 0;
}

}  // namespace

bool fits_narrow(const Product& product) {
  return product.transpose_a && !product.transpose_b && product.dtype_b == REMOE_F32 &&
         product.n <= kMostColumns && product.n % kFour == 0 && product.m % 8 == 0 &&
         product.k >= kLeastDepth && is_wide(product.a, product.lda, bytes_of(product.dtype_a)) &&
         is_wide(product.b, product.ldb, bytes_of(REMOE_F32));
}

void multiply_narrow(Operation& op, const Product& product) {
  with_activations(product.dtype_a, [&]<class A>(A) {
    const NarrowArguments<A> p = {
        .a = static_cast<const A*>(product.a),
        .b = static_cast<const float*>(product.b),
        .partial = nullptr,
        .lda = static_cast<size_t>(product.lda),
        .ldb = static_cast<size_t>(product.ldb),
        .m = product.m,
        .n = product.n,
        .k = product.k,
        .part_depth = 0,
    };
    if (product.n <= 8) {
      launch<8>(op, product, p);
    } else {
      launch<16>(op, product, p);
    }
  });
}

}  // namespace remoe
