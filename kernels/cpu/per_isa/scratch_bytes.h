// What remoe_scratch_bytes asks the kernels of each instruction set: beside each gradient, the
// bytes that it takes from the pool, from the same sizes as it takes them by.
#pragma once

#include "per_isa/kernel.h"

REMOE_DECLARE(experts_gradient_scratch, double(Context&, int rows, int kept_rows, int tokens,
                                               int hidden, int width, int experts))
REMOE_DECLARE(cross_entropy_gradient_scratch,
              double(Context&, int32_t dtype, int tokens, int hidden, int vocabulary, bool kept))
REMOE_DECLARE_BF16(experts_gradient_bf16_scratch,
                   double(Context&, int rows, int kept_rows, int tokens, int hidden, int width,
                          int experts))
