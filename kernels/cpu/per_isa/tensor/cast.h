// Conversions between the dtypes of remoe_dtype_code, for operations that compute in fp32 only.
#pragma once

#include "per_isa/kernel.h"

REMOE_DECLARE(cast, void(const Context&, int32_t target_dtype, void* target, int32_t source_dtype,
                         const void* source, int64_t count))
