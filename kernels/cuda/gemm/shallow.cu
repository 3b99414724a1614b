// Products of little depth, as those that take the gradient of a router's logits back to its input:
// they take as long as C does to be read and written.
//
// Of a block's parts of A and B, depths of 32 lie in shared memory at a time. A warp takes 8 rows
// by 256 columns, a lane two runs of four columns of each row, so that a warp accesses C in whole
// lines.
#include "device/bf16.h"
#include "gemm/product.h"
#include "gemm/write_sums.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

constexpr int kThreads = 256;
constexpr int kWarpSize = 32;
constexpr int kDepth = 32;
constexpr int kMostDepth = 128;
constexpr int kWarpRows = 8;
constexpr int kRows = kThreads / kWarpSize * kWarpRows;
constexpr int kHalf = kWarpSize * kFour;
constexpr int kColumns = 2 * kHalf;
static_assert(kColumns == kThreads);

// Rows of a depth are longer by an access, so that neighbouring depths lie in different banks.
struct ShallowShared {
  alignas(16) float a[kDepth][kRows + kFour];
  alignas(16) float b[kDepth][kColumns + kFour];
};

template <class C>
struct ShallowArguments {
  const float* a;
  const float* b;
  C* c;
  size_t lda;
  size_t ldb;
  size_t ldc;
  int m;
  int n;
  int k;
  bool transpose_a;
  bool transpose_b;
  float alpha;
  float beta;

  __device__ __forceinline__ float a_at(int row, int d) const {
    return row < m ? a[transpose_a ? d * lda + row : row * lda + d] : 0.0f;
  }
  __device__ __forceinline__ float b_at(int d, int column) const {
    return column < n ? b[transpose_b ? column * ldb + d : d * ldb + column] : 0.0f;
  }
};

template <class C>
__device__ __forceinline__ void load_operands(ShallowShared& shared, const ShallowArguments<C>& p,
                                              int first_row, int first_column, int first,
                                              int depth) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kColumns * depth; i += kThreads) {
    const int column = p.transpose_b ? i / depth : i % kColumns;
    const int d = p.transpose_b ? i % depth : i / kColumns;
    shared.b[d][column] = p.b_at(first + d, first_column + column);
  }
  for (int i = thread; i < kRows * depth; i += kThreads) {
    const int row = p.transpose_a ? i % kRows : i / depth;
    const int d = p.transpose_a ? i / kRows : i % depth;
    shared.a[d][row] = p.a_at(first_row + row, first + d);
  }
}

using ShallowSums = float[kWarpRows][2][kFour];

__device__ __forceinline__ void multiply_depths(const ShallowShared& shared, int row, int lane,
                                                int depth, ShallowSums& sums) {
  for (int d = 0; d < depth; d++) {
    float a[2][kFour], b[2][kFour];
#pragma unroll
    for (int half = 0; half < 2; half++) {
      load_floats(&shared.a[d][row + half * kFour], a[half]);
      load_floats(&shared.b[d][half * kHalf + lane * kFour], b[half]);
    }
#pragma unroll
    for (int i = 0; i < kWarpRows; i++) {
#pragma unroll
      for (int j = 0; j < 2 * kFour; j++) {
        sums[i][j / kFour][j % kFour] += a[i / kFour][i % kFour] * b[j / kFour][j % kFour];
      }
    }
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads, 2) shallow_kernel(ShallowArguments<C> p) {
  ShallowShared& shared = gpu::shared<ShallowShared>();
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row = static_cast<int>(threadIdx.x) / kWarpSize * kWarpRows;
  const int first_row = static_cast<int>(blockIdx.x) * kRows;
  const int first_column = static_cast<int>(blockIdx.y) * kColumns;
  ShallowSums sums = {};
  for (int first = 0; first < p.k; first += kDepth) {
    const int depth = p.k - first < kDepth ? p.k - first : kDepth;
    load_operands(shared, p, first_row, first_column, first, depth);
    __syncthreads();
    multiply_depths(shared, row, lane, depth, sums);
    // The next depths overwrite what slower warps may still be multiplying.
    __syncthreads();
  }
  const bool wide = has_wide_rows(p.c, p.ldc);
#pragma unroll
  for (int i = 0; i < kWarpRows; i++) {
    if (first_row + row + i >= p.m) break;
    C* to = p.c + static_cast<size_t>(first_row + row + i) * p.ldc;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int column = first_column + half * kHalf + lane * kFour;
      write_run<kFour>(to + column, sums[i][half], p.n - column, wide, p.alpha, p.beta);
    }
  }
}

}  // namespace

bool fits_shallow(const Product& product) {
  return product.dtype_a == REMOE_F32 && product.dtype_b == REMOE_F32 && product.k <= kMostDepth &&
         product.m >= kRows && product.n >= kRows;
}

void multiply_shallow(Operation& op, const Product& product) {
  with_activations(product.dtype_c, [&]<class C>(C) {
    const ShallowArguments<C> p = {
        .a = static_cast<const float*>(product.a),
        .b = static_cast<const float*>(product.b),
        .c = static_cast<C*>(product.c),
        .lda = static_cast<size_t>(product.lda),
        .ldb = static_cast<size_t>(product.ldb),
        .ldc = static_cast<size_t>(product.ldc),
        .m = product.m,
        .n = product.n,
        .k = product.k,
        .transpose_a = product.transpose_a,
        .transpose_b = product.transpose_b,
        .alpha = product.alpha,
        .beta = product.beta,
    };
    op.launch(shallow_kernel<C>, dim3((p.m - 1) / kRows + 1, (p.n - 1) / kColumns + 1),
              dim3(kThreads), sizeof(ShallowShared), p);
  });
}

}  // namespace remoe
