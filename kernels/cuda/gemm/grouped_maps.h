// Tensor maps of the operands of grouped products.
#pragma once

#include "gemm/grouped_epilogues.h"
#include "runtime/tensor_maps.h"

namespace remoe::grouped {

// bf16 [planes, rows, columns] with `stride` elements between rows, in boxes of 64 columns.
inline TensorMap map_matrix(const void* data, int64_t planes, int64_t rows, int64_t columns,
                            int64_t stride, int box_rows = kSide) {
  const auto row_bytes = static_cast<uint64_t>(2 * stride);
  return encode_tensor_map(data, {REMOE_BF16,
                                  {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(planes)},
                                  {row_bytes, row_bytes * static_cast<uint64_t>(rows)},
                                  {kSide, static_cast<uint32_t>(box_rows), 1}});
}

// bf16 [rows, 2 halves, columns], in boxes of 64 columns of one half.
inline TensorMap map_halves(const void* data, int64_t rows, int64_t columns, int box_rows) {
  const auto half_bytes = static_cast<uint64_t>(2 * columns);
  return encode_tensor_map(data, {REMOE_BF16,
                                  {static_cast<uint64_t>(columns), 2, static_cast<uint64_t>(rows)},
                                  {half_bytes, 2 * half_bytes},
                                  {kSide, 1, static_cast<uint32_t>(box_rows)}});
}

// fp32 [planes, rows, columns], in boxes of 32 columns and a warp's rows.
inline TensorMap map_floats(const void* data, int64_t planes, int64_t rows, int64_t columns,
                            int64_t stride) {
  const auto row_bytes = static_cast<uint64_t>(4 * stride);
  return encode_tensor_map(data, {REMOE_F32,
                                  {static_cast<uint64_t>(columns), static_cast<uint64_t>(rows),
                                   static_cast<uint64_t>(planes)},
                                  {row_bytes, row_bytes * static_cast<uint64_t>(rows)},
                                  {kFloatSide, kWarpRows, 1}});
}

}  // namespace remoe::grouped
