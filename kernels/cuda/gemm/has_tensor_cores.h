// Which path a context's products in bf16 take.
#pragma once

#include "runtime/operation.h"

namespace remoe {

// Whether the context multiplies on Hopper's tensor cores where sizes and addresses fit. The first
// call that could compares small products with those of mma, for which the host waits once; if they
// disagree the context stays on mma, and remoe_context_info says so.
bool has_tensor_cores(Operation& op);

}  // namespace remoe
