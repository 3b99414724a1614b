// What the environment asks of a context's memory.
#pragma once

#include "runtime/memory_pool.h"

namespace remoe {

// REMOE_MEMORY_LIMIT and REMOE_MEMORY_GUARD, as remoe.h describes them. Throws where one cannot be
// read.
PoolOptions pool_options();

}  // namespace remoe
