// Dense products in bf16 on Hopper's tensor cores.
#pragma once

#include "gemm/product.h"

namespace remoe {

// Whether operands, sizes and addresses are ones that the bulk copies take, and there is work
// enough that tiles of 128 rows pay. The context decides about the device
// (gemm/has_tensor_cores.h).
bool fits_tensor_cores(const Product& product);

void multiply_tensor_cores(Operation& op, const Product& product);

}  // namespace remoe
