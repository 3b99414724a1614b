#include "gemm/product.h"
#include "runtime/dtype.h"

namespace remoe {
namespace {

void require_stride(int32_t stride, int32_t columns, const char* name, const char* matrix) {
  require(stride >= columns, "%s is %d, but rows of %s have %d elements", name, stride, matrix,
          columns);
}

}  // namespace
}  // namespace remoe

int32_t remoe_gemm(uint64_t context, int32_t dtype_a, int32_t dtype_b, int32_t dtype_c,
                   int32_t transpose_a, int32_t transpose_b, int32_t m, int32_t n, int32_t k,
                   float alpha, uint64_t a, int32_t lda, uint64_t b, int32_t ldb, float beta,
                   uint64_t c, int32_t ldc) {
  using namespace remoe;
  return guard(context, "gemm", [&](Operation& op) {
    require_float(dtype_a);
    require_float(dtype_b);
    require_float(dtype_c);
    require_size(m, "m");
    require_size(n, "n");
    require_size(k, "k");
    const bool of_a = transpose_a != 0;
    const bool of_b = transpose_b != 0;
    require_stride(lda, of_a ? m : k, "lda", "A");
    require_stride(ldb, of_b ? k : n, "ldb", "B");
    require_stride(ldc, n, "ldc", "C");
    multiply(op, {
                     .m = m,
                     .n = n,
                     .k = k,
                     .dtype_a = dtype_a,
                     .a = require_elements(a, dtype_a, "A"),
                     .lda = lda,
                     .transpose_a = of_a,
                     .dtype_b = dtype_b,
                     .b = require_elements(b, dtype_b, "B"),
                     .ldb = ldb,
                     .transpose_b = of_b,
                     .dtype_c = dtype_c,
                     .c = require_elements(c, dtype_c, "C"),
                     .ldc = ldc,
                     .alpha = alpha,
                     .beta = beta,
                 });
  });
}
