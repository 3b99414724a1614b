// The logits of the routers that need a whole row of them at once.
#pragma once

#include "moe/router_input.h"

namespace remoe {

// Enqueues logits = x W. They go through memory: beside the D columns of x, E columns cost little.
void router_logits(Operation& op, float* logits, const RouterInput& input);

}  // namespace remoe
