// The blocked GEMM in bf16, with sums in fp32.
#include "per_isa/gemm/blocked_gemm.h"
#include "per_isa/gemm/blocked_product.h"
#include "per_isa/gemm/few_rows.h"

namespace remoe::REMOE_TARGET {

int gemm_bf16_depth(const Context&) { return Blocks<Bf16>::kDepth; }

void gemm_pack(const Context&, int k, int n, const Bf16Operand& b, uint32_t* packed, int begin,
               int end) {
  pack_blocks(k, n, b, packed, begin, end);
}

void gemm_blocked(const Context&, uint32_t* packing, int m, int n, int k, float alpha,
                  const Bf16Operand& a, const Bf16Operand& b, const uint32_t* packed_b, float beta,
                  float* c, int64_t ldc) {
  if (packed_b == nullptr && few_rows_product(packing, m, n, k, alpha, a, b, beta, c, ldc)) return;
  BlockedProduct<Bf16, float>(packing, m, n, k, a, b, packed_b).run(alpha, beta, c, ldc);
}

void gemm_blocked(const Context&, uint32_t* packing, int m, int n, int k, float alpha,
                  const Bf16Operand& a, const Bf16Operand& b, const uint32_t* packed_b, float beta,
                  Bf16* c, int64_t ldc) {
  if (packed_b == nullptr && few_rows_product(packing, m, n, k, alpha, a, b, beta, c, ldc)) return;
  BlockedProduct<Bf16, Bf16>(packing, m, n, k, a, b, packed_b).run(alpha, beta, c, ldc);
}

}  // namespace remoe::REMOE_TARGET
