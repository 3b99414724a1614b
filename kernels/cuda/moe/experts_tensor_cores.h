// The experts in bf16 on Hopper's tensor cores.
#pragma once

#include "moe/expert_arguments.h"
#include "runtime/operation.h"

namespace remoe {

// Whether sizes and addresses are ones that the bulk copies take. The context decides about the
// device (runtime/gemm_path.h).
bool fits_tensor_cores(const ExpertsForward<Bf16>& call);
bool fits_tensor_cores(const ExpertsGradient<Bf16>& call);

void experts_forward_tensor_cores(Operation& op, const ExpertsForward<Bf16>& call);
void experts_gradient_tensor_cores(Operation& op, const ExpertsGradient<Bf16>& call);

}  // namespace remoe
