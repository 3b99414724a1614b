// Tensor maps, encoded by the driver on the host.
#pragma once

#include "device/tensor_map.h"
#include "runtime/errors.h"

namespace remoe {

// Three dimensions, innermost first, in the 128-byte swizzle: a box's rows are at most 128 bytes.
struct TensorLayout {
  int32_t dtype;  // REMOE_BF16 or REMOE_F32
  uint64_t size[3];
  uint64_t stride[2];  // of the outer two, in bytes
  uint32_t box[3];
};

// Throws Error if the driver refuses it.
hopper::TensorMap encode_tensor_map(const void* data, const TensorLayout& layout);

// Whether rows of `columns` elements from `data` on can be a map's: both are multiples of 16 bytes.
inline bool fits_tensor_map(const void* data, int64_t columns, int element_bytes) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 && columns * element_bytes % 16 == 0;
}

}  // namespace remoe
