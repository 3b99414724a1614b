// The blocked GEMM in fp32.
#include "per_isa/gemm/blocked_gemm.h"

#include "per_isa/gemm/blocked_product.h"

namespace remoe::REMOE_TARGET {

int gemm_panel_columns(const Context&) { return kTileColumns; }

void gemm_pack(const Context&, int k, int n, const Operand& b, float* packed, int begin, int end) {
  pack_blocks(k, n, b, packed, begin, end);
}

void gemm_blocked(const Context&, float* packing, int m, int n, int k, float alpha,
                  const Operand& a, const Operand& b, const float* packed_b, float beta, float* c,
                  int64_t ldc) {
  blocked_product(packing, m, n, k, alpha, a, b, packed_b, beta, c, ldc);
}

}  // namespace remoe::REMOE_TARGET
