// Dense products in fp32: C[m,n] = alpha * op(A) * op(B) + beta * C, row-major; with beta == 0, C
// is not read. The same inputs give the same bits for a fixed number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "runtime/context.h"

namespace remoe {

// A matrix as stored. op() transposes if `transposed`. If `rows` is given, stored row i is
// data[rows[i] * stride]: the gather is free, since the operand is packed into panels anyway.
struct Operand {
  const float* data;
  int64_t stride;
  bool transposed = false;
  const int32_t* rows = nullptr;
};

// Whether oneDNN is built in.
bool has_onednn();

// The GEMM behind dense products: "oneDNN <version>", or "blocked" for this library's own.
std::string gemm_library(bool onednn);

// On all threads of the context. Not for use inside a parallel region.
void gemm(Context& context, bool transpose_a, bool transpose_b, int m, int n, int k, float alpha,
          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
          int64_t ldc);

// On the calling thread, for use inside parallel regions of the context.
void gemm_one_thread(Context& context, bool transpose_a, bool transpose_b, int m, int n, int k,
                     float alpha, const float* a, int64_t lda, const float* b, int64_t ldb,
                     float beta, float* c, int64_t ldc);

// The same with operands that may be gathered.
void gemm_one_thread(Context& context, int m, int n, int k, float alpha, const Operand& a,
                     const Operand& b, float beta, float* c, int64_t ldc);

// op(B) [k,n] packed into panels once for many products. This saves the copy of B, a tenth of the
// time of a product with 128 rows.
//
// packed_size: the floats that a packed [k,n] takes.
std::size_t packed_size(const Context& context, int k, int n);
// Packs columns [begin, end) of op(B), by default all of them, on the calling thread. `begin` is a
// multiple of packed_columns().
void pack(const Context& context, int k, int n, const Operand& b, float* packed, int begin = 0,
          int end = -1);
// Columns per panel.
int packed_columns(const Context& context);

// C = alpha * op(A) * B + beta * C with a packed B [k,n], on the calling thread.
void gemm_packed(Context& context, int m, int n, int k, float alpha, const Operand& a,
                 const float* packed_b, float beta, float* c, int64_t ldc);

}  // namespace remoe
