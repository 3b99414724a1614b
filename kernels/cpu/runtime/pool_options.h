#pragma once

#include "runtime/memory_pool.h"

namespace remoe {

// The pool options set by the environment variables REMOE_MEMORY_LIMIT and REMOE_MEMORY_GUARD,
// described in remoe.h. Throws if one is malformed.
PoolOptions pool_options();

}  // namespace remoe
