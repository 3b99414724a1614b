// Conversions between dtypes of enum remoe_dtype, for operations that compute in fp32 alone.
#pragma once

#include "per_isa/kernel.h"

REMOE_DECLARE(cast, void(const Context&, int32_t target_dtype, void* target, int32_t source_dtype,
                         const void* source, int64_t count))
