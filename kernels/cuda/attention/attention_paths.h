// The paths of attention. Tensor cores take bf16 on Hopper, with heads of 32, 64, 96 or 128 whose
// rows the bulk tensor copies can read; the FMA cores take everything else, on any architecture.
#pragma once

#include "attention/attention_arguments.h"

namespace remoe {

// `addresses`: those of all operands, or-ed together.
inline bool fits_flash(const Operation& op, const AttentionSizes& sizes, uint64_t addresses) {
  const bool has_kernel = sizes.head_dim % 32 == 0 && sizes.head_dim <= 128;
  return op.context.is_hopper && has_kernel &&
         has_wide_heads(sizes, 16 / sizeof(Bf16), sizeof(Bf16), addresses);
}

void flash_forward(Operation& op, const ForwardCall<Bf16>& call);
void flash_gradient(Operation& op, const GradientCall<Bf16>& call);

}  // namespace remoe
