// Shared by the experts' forward pass and gradient in bf16, which are chains of packed products
// (runtime/gemm.h) on tiles of one expert's rows.
#pragma once

#include <algorithm>
#include <cstdint>

#include "per_isa/gemm/cache_tile.h"
#include "per_isa/simd/elements.h"
#include "runtime/gemm.h"

namespace remoe::REMOE_TARGET {

// Columns of an expert's width processed at once: the packed weights of a chunk, 3 chunk D bf16,
// are to stay in L2 while the rows stream past.
inline int bf16_width_chunk(int hidden, int width) {
  const int64_t columns = std::max<int64_t>(131072 / hidden / kChunk * kChunk, 4 * kChunk);
  return static_cast<int>(std::min(columns, round_up(width, kChunk)));
}

// g and u of a chunk side by side, u from `up` on: both start at a panel, so that one product
// computes both.
struct GateUp {
  int columns;
  int up;
  int stride() const { return 2 * up; }

  GateUp(const Context& context, int columns)
      : columns(columns), up(static_cast<int>(round_up(columns, packed_columns(context)))) {}
  int product_columns() const { return up + columns; }
};

// Packs the columns of W_gate that `w1` points to, and those of W_up, `width` further on.
inline void pack_gate_up(const Context& context, const GateUp& sizes, int hidden, int width,
                         const Bf16* w1, uint32_t* packed) {
  const int n = sizes.product_columns();
  const int64_t stride = 2 * int64_t{width};
  pack(context, hidden, n, Bf16Operand{w1, stride}, packed, 0, sizes.columns);
  pack(context, hidden, n, Bf16Operand{w1 + width - sizes.up, stride}, packed, sizes.up, n);
}

// Rounds n columns of a row of pre-activations.
inline void round_pre_activations(Bf16* g, Bf16* u, const float* from, int up, int n) {
  convert_run(g, from, n);
  convert_run(u, from + up, n);
}

}  // namespace remoe::REMOE_TARGET
