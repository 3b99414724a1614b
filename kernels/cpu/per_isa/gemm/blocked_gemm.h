// The blocked GEMM per instruction set; callers include runtime/gemm.h.
#pragma once

#include "per_isa/kernel.h"
#include "runtime/gemm.h"

namespace remoe {

// Lanes in one thread's packing buffer: a block of A and a block of B for any target.
inline constexpr std::size_t kPackingLanes = 524288;

}  // namespace remoe

// `packing` is the calling thread's buffer of kPackingLanes. If `packed_b` is given, `b` is not
// read.
REMOE_DECLARE(gemm_blocked, void(const Context&, float* packing, int m, int n, int k, float alpha,
                                 const Operand& a, const Operand& b, const float* packed_b,
                                 float beta, float* c, int64_t ldc))
REMOE_DECLARE(gemm_panel_columns, int(const Context&))
REMOE_DECLARE(gemm_pack, void(const Context&, int k, int n, const Operand& b, float* packed,
                              int begin, int end))

REMOE_DECLARE_BF16(gemm_blocked,
                   void(const Context&, uint32_t* packing, int m, int n, int k, float alpha,
                        const Bf16Operand& a, const Bf16Operand& b, const uint32_t* packed_b,
                        float beta, float* c, int64_t ldc))
// With a result in bf16, k is at most gemm_bf16_depth().
REMOE_DECLARE_BF16(gemm_blocked,
                   void(const Context&, uint32_t* packing, int m, int n, int k, float alpha,
                        const Bf16Operand& a, const Bf16Operand& b, const uint32_t* packed_b,
                        float beta, Bf16* c, int64_t ldc))
REMOE_DECLARE_BF16(gemm_bf16_depth, int(const Context&))
REMOE_DECLARE_BF16(gemm_pack, void(const Context&, int k, int n, const Bf16Operand& b,
                                   uint32_t* packed, int begin, int end))
