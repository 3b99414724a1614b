// The blocked GEMM per instruction set; callers include runtime/gemm.h.
#pragma once

#include "per_isa/kernel.h"
#include "runtime/gemm.h"

namespace remoe {

// Floats in one thread's packing buffer: a block of A and a block of B for any target.
inline constexpr std::size_t kPackingFloats = 524288;

}  // namespace remoe

// `packing` is the calling thread's buffer of kPackingFloats. If `packed_b` is given, `b` is not
// read.
REMOE_DECLARE(gemm_blocked, void(const Context&, float* packing, int m, int n, int k, float alpha,
                                 const Operand& a, const Operand& b, const float* packed_b,
                                 float beta, float* c, int64_t ldc))
REMOE_DECLARE(gemm_panel_columns, int(const Context&))
REMOE_DECLARE(gemm_packed_size, std::size_t(const Context&, int k, int n))
REMOE_DECLARE(gemm_pack, void(const Context&, int k, int n, const Operand& b, float* packed,
                              int begin, int end))
