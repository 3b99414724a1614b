// Error handling: failures are thrown as Error inside the library, and turned into a status and the
// context's message at the C boundary (guard in operation.h).
#pragma once

#include <string>

#include "../../include/remoe.h"

namespace remoe {

struct Error {
  int32_t status;
  std::string message;
  const char* operation = nullptr;  // that the message is of, if not of the call that fails
};

[[noreturn]] void fail(int32_t status, const char* format, ...)
    __attribute__((format(printf, 2, 3), cold));

// Throws REMOE_INVALID_ARGUMENT unless `condition` holds. The message says what is wrong; the
// boundary prepends the operation's name.
void require(bool condition, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Throws unless value >= 1.
void require_size(int64_t value, const char* name);

// Throws unless `operation` is one of the codes 0 to `last`.
void require_operation(int32_t operation, int32_t last);

void require_aligned(uint64_t address, size_t alignment, const char* name);

// The device pointer for an address that must not be 0.
template <class T>
T* require_address(uint64_t address, const char* name) {
  require(address != 0, "the address of %s is 0", name);
  require_aligned(address, alignof(T), name);
  return reinterpret_cast<T*>(address);
}

// The device pointer for an address that may be 0 (nullptr if so).
template <class T>
T* optional_address(uint64_t address, const char* name) {
  require_aligned(address, alignof(T), name);
  return reinterpret_cast<T*>(address);
}

}  // namespace remoe
