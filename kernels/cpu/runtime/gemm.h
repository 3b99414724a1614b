// Dense products of fp32 or bf16 operands with sums in fp32: C[m,n] = alpha * op(A) * op(B) +
// beta * C, row-major; with beta == 0, C is not read. C is fp32, or bf16 if the operands are, and
// is then rounded once. The same inputs give the same bits for a fixed number of threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "per_isa/simd/lane.h"
#include "runtime/context.h"

namespace remoe {

// A matrix as stored. op() transposes if `transposed`. If `rows` is given, stored row i is
// data[rows[i] * stride]: the gather is free, since the operand is packed into panels anyway.
template <class T>
struct OperandOf {
  const T* data;
  int64_t stride;
  bool transposed = false;
  const int32_t* rows = nullptr;
};
using Operand = OperandOf<float>;
using Bf16Operand = OperandOf<Bf16>;

// Whether oneDNN is built in.
bool has_onednn();

// The GEMM behind dense products: "oneDNN <version>", or "blocked" for this library's own.
std::string gemm_library(bool onednn);

// On all threads of the context. Not for use inside a parallel region.
void gemm(Context& context, int m, int n, int k, float alpha, const Operand& a, const Operand& b,
          float beta, float* c, int64_t ldc);
void gemm(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
          const Bf16Operand& b, float beta, float* c, int64_t ldc);
// k is at most deepest_rounded().
void gemm(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
          const Bf16Operand& b, float beta, Bf16* c, int64_t ldc);

// The largest k whose sums are complete before they leave the registers, and can be rounded there.
int deepest_rounded(const Context& context);

// On the calling thread, for use inside parallel regions of the context.
void gemm_one_thread(Context& context, int m, int n, int k, float alpha, const Operand& a,
                     const Operand& b, float beta, float* c, int64_t ldc);
void gemm_one_thread(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
                     const Bf16Operand& b, float beta, float* c, int64_t ldc);

// op(B) [k,n] packed into panels once for many products. This saves the copy of B, a tenth of the
// time of a product with 128 rows.
//
// packed_size: the lanes that a packed [k,n] takes.
template <class T = float>
std::size_t packed_size(const Context& context, int k, int n);
// Packs columns [begin, end) of op(B), by default all of them, on the calling thread. `begin` is a
// multiple of packed_columns().
void pack(const Context& context, int k, int n, const Operand& b, float* packed, int begin = 0,
          int end = -1);
void pack(const Context& context, int k, int n, const Bf16Operand& b, uint32_t* packed,
          int begin = 0, int end = -1);
// Columns per panel.
int packed_columns(const Context& context);

// C = alpha * op(A) * B + beta * C with a packed B [k,n], on the calling thread.
void gemm_packed(Context& context, int m, int n, int k, float alpha, const Operand& a,
                 const float* packed_b, float beta, float* c, int64_t ldc);
void gemm_packed(Context& context, int m, int n, int k, float alpha, const Bf16Operand& a,
                 const uint32_t* packed_b, float beta, float* c, int64_t ldc);

}  // namespace remoe
