// The handles of open contexts.
#pragma once

#include <cstdint>

#include "runtime/context.h"

namespace remoe {

// Gives an open context its handle. Throws where too many are open.
uint64_t register_context(Context* context);

// Takes a context out of the table, for whoever closes it; nullptr where the handle names none.
Context* take_context(uint64_t handle) noexcept;

}  // namespace remoe
