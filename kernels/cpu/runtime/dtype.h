// The dtypes of remoe.h.
#pragma once

#include <cstdint>

#include "runtime/context.h"

namespace remoe {

// Bytes per element. Throws REMOE_INVALID_ARGUMENT if the code is unknown.
inline int bytes_of(int32_t dtype) {
  switch (dtype) {
    case REMOE_F32:
    case REMOE_I32:
      return 4;
    case REMOE_BF16:
      return 2;
    case REMOE_F64:
      return 8;
    default:
      fail(REMOE_INVALID_ARGUMENT, "dtype %d is unknown", dtype);
  }
}

// Throws REMOE_UNSUPPORTED unless the dtype is fp32 or bf16.
inline void require_float(int32_t dtype) {
  bytes_of(dtype);
  require(dtype == REMOE_F32 || dtype == REMOE_BF16, REMOE_UNSUPPORTED,
          "dtype %d: only fp32 and bf16 are supported here", dtype);
}

inline int64_t require_count(uint64_t count) {
  require(count >= 1, REMOE_INVALID_ARGUMENT, "count is 0, but at least 1 is needed");
  require(count <= uint64_t{1} << 46, REMOE_INVALID_ARGUMENT, "count is %llu, beyond any memory",
          static_cast<unsigned long long>(count));
  return static_cast<int64_t>(count);
}

// The pointer for the address of elements of `dtype`, checked for alignment.
inline void* require_elements(uint64_t address, int32_t dtype, const char* name) {
  require(address != 0, REMOE_INVALID_ARGUMENT, "the address of %s is 0", name);
  require_aligned(address, bytes_of(dtype), name);
  return reinterpret_cast<void*>(address);
}

// The same for an address that may be 0 (nullptr if so).
inline void* optional_elements(uint64_t address, int32_t dtype, const char* name) {
  require_aligned(address, bytes_of(dtype), name);
  return reinterpret_cast<void*>(address);
}

}  // namespace remoe
