// Dense products.
#include "runtime/gemm.h"

#include "runtime/fp32_view.h"

using namespace remoe;

namespace {

void require_stride(int32_t stride, int32_t columns, const char* name, const char* matrix) {
  require(stride >= columns, REMOE_INVALID_ARGUMENT, "%s is %d, but rows of %s have %d elements",
          name, stride, matrix, columns);
}

// Elements from the first to the last of a stored matrix.
int64_t extent(int64_t rows, int64_t columns, int64_t stride) {
  return (rows - 1) * stride + columns;
}

}  // namespace

extern "C" {

int32_t remoe_gemm(uint64_t context, int32_t dtype, int32_t dtype_c, int32_t transpose_a,
                   int32_t transpose_b, int32_t m, int32_t n, int32_t k, float alpha, uint64_t a,
                   int32_t lda, uint64_t b, int32_t ldb, float beta, uint64_t c, int32_t ldc) {
  return guard(context, "gemm", [&](Context& open) {
    require_float(dtype);
    require_float(dtype_c);
    require_size(m, "m");
    require_size(n, "n");
    require_size(k, "k");
    const bool ta = transpose_a != 0, tb = transpose_b != 0;
    const int32_t a_rows = ta ? k : m, a_columns = ta ? m : k;
    const int32_t b_rows = tb ? n : k, b_columns = tb ? k : n;
    require_stride(lda, a_columns, "lda", "A");
    require_stride(ldb, b_columns, "ldb", "B");
    require_stride(ldc, n, "ldc", "C");
    const Fp32Operand left(open, dtype, a, extent(a_rows, a_columns, lda), "A");
    const Fp32Operand right(open, dtype, b, extent(b_rows, b_columns, ldb), "B");
    // Between rows of C, elements of others keep their values: they are read, too.
    Fp32Target result(open, dtype_c, c, extent(m, n, ldc), beta != 0 || ldc != n, "C");
    gemm(open, ta, tb, m, n, k, alpha, left.data(), lda, right.data(), ldb, beta, result.data(),
         ldc);
    result.commit();
  });
}
}
