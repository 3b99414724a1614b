#include "gemm.h"

#include <algorithm>

#include "gemm_blocks.h"
#include "kernels.h"
#include "parallel.h"

namespace remoe {
namespace {

float* packing_of(Context& context, int thread) { return context.packing[thread].get(); }

void one_thread(Context& context, int thread, int m, int n, int k, float alpha, const Operand& a,
                const Operand& b, const float* packed_b, float beta, float* c, int64_t ldc) {
  REMOE_DISPATCH(context, gemm_blocked, packing_of(context, thread), m, n, k, alpha, a, b, packed_b,
                 beta, c, ldc);
}

// A grid of threads over C. Each part copies its rows of A and its columns of B, so the grid with
// the smallest m/rows + n/columns copies least.
struct Grid {
  int rows;
  int columns;
};

Grid grid_for(const Context& context, int m, int n, int k) {
  // A thread is worth waking for about 2 us of work: 10^5 multiply-adds.
  const double work = static_cast<double>(m) * n * k;
  const int parts = static_cast<int>(std::clamp(work / 1e5, 1.0, double(context.threads)));
  Grid best{1, parts};
  double least = 1e300;
  for (int rows = 1; rows <= parts; ++rows) {
    if (parts % rows != 0) continue;
    const int columns = parts / rows;
    if ((rows > 1 && rows * 8 > m) || (columns > 1 && columns * 32 > n)) continue;
    const double copied = static_cast<double>(m) / rows + static_cast<double>(n) / columns;
    if (copied < least) {
      least = copied;
      best = {rows, columns};
    }
  }
  return least < 1e300 ? best : Grid{1, 1};
}

// The operand of rows [i, ...) of op(A), and of columns [j, ...) of op(B).
Operand from_row(const Operand& a, int64_t i) {
  Operand part = a;
  part.data += a.transposed ? i : i * a.stride;
  return part;
}
Operand from_column(const Operand& b, int64_t j) {
  Operand part = b;
  part.data += b.transposed ? j * b.stride : j;
  return part;
}

}  // namespace

void gemm(Context& context, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
          int64_t ldc) {
  const Operand a_all{a, lda, transpose_a}, b_all{b, ldb, transpose_b};
  const Grid grid = grid_for(context, m, n, k);
  parallel_parts(context, grid.rows * grid.columns, [&](int part) {
    const Range rows = part_of(m, grid.rows, part / grid.columns);
    const Range columns = part_of(n, grid.columns, part % grid.columns, packed_columns(context));
    if (rows.begin == rows.end || columns.begin == columns.end) return;
    one_thread(context, part, static_cast<int>(rows.end - rows.begin),
               static_cast<int>(columns.end - columns.begin), k, alpha,
               from_row(a_all, rows.begin), from_column(b_all, columns.begin), nullptr, beta,
               c + rows.begin * ldc + columns.begin, ldc);
  });
}

void gemm_one_thread(Context& context, bool transpose_a, bool transpose_b, int m, int n, int k,
                     float alpha, const float* a, int64_t lda, const float* b, int64_t ldb,
                     float beta, float* c, int64_t ldc) {
  gemm_one_thread(context, m, n, k, alpha, {a, lda, transpose_a}, {b, ldb, transpose_b}, beta, c,
                  ldc);
}

void gemm_one_thread(Context& context, int m, int n, int k, float alpha, const Operand& a,
                     const Operand& b, float beta, float* c, int64_t ldc) {
  one_thread(context, omp_get_thread_num(), m, n, k, alpha, a, b, nullptr, beta, c, ldc);
}

int packed_columns(const Context& context) { return REMOE_DISPATCH(context, gemm_panel_columns); }

std::size_t packed_size(const Context& context, int k, int n) {
  return REMOE_DISPATCH(context, gemm_packed_size, k, n);
}

void pack(const Context& context, int k, int n, const Operand& b, float* packed, int begin,
          int end) {
  REMOE_DISPATCH(context, gemm_pack, k, n, b, packed, begin, end < 0 ? n : end);
}

void gemm_packed(Context& context, int m, int n, int k, float alpha, const Operand& a,
                 const float* packed_b, float beta, float* c, int64_t ldc) {
  one_thread(context, omp_get_thread_num(), m, n, k, alpha, a, {}, packed_b, beta, c, ldc);
}

}  // namespace remoe
