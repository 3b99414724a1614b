// Dense products on device memory, for the functions of the library: C[m,n] = alpha * op(A) * op(B)
// + beta * C, with sums in fp32 in a fixed order, rounded once.
#pragma once

#include "runtime/operation.h"

namespace remoe {

// A and B are fp32 or bf16, and so is C. With beta == 0, C is not read.
struct Product {
  int m;
  int n;
  int k;
  int32_t dtype_a;
  const void* a;  // stored as [m, k], or as [k, m] if transposed
  int64_t lda;    // elements between stored rows
  bool transpose_a = false;
  int32_t dtype_b;
  const void* b;  // stored as [k, n], or as [n, k] if transposed
  int64_t ldb;
  bool transpose_b = false;
  int32_t dtype_c;
  void* c;
  int64_t ldc;
  float alpha = 1.0f;
  float beta = 0.0f;
};

// Enqueues a product on the fastest path that takes it. Sizes are at least 1, addresses aligned to
// their elements.
void multiply(Operation& op, const Product& product);

// Any sizes, dtypes and addresses: on plain FMA cores, or in bf16 by the warps' own tensor core
// instruction.
void multiply_simt(Operation& op, const Product& product);

// A handful of rows and B as stored, at the speed of reading B.
bool fits_few_rows(const Product& product);
void multiply_few_rows(Operation& op, const Product& product);

// Little depth in fp32, at the speed of writing C.
bool fits_shallow(const Product& product);
void multiply_shallow(Operation& op, const Product& product);

// Great depth and few columns, of A transposed and B in fp32, at the speed of reading A.
bool fits_narrow(const Product& product);
void multiply_narrow(Operation& op, const Product& product);

}  // namespace remoe
