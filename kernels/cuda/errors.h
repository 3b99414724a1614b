// How a failure travels: thrown as Error inside the library, turned into a status and the
// context's message where the C function ends (guard in operation.h).
#pragma once

#include <string>

#include "../include/remoe.h"

namespace remoe {

struct Error {
  int32_t status;
  std::string message;
};

[[noreturn]] void fail(int32_t status, const char* format, ...)
    __attribute__((format(printf, 2, 3), cold));

// Throws REMOE_INVALID_ARGUMENT unless `condition` holds. The message says what is wrong; the
// operation's name is put in front of it at the boundary.
void require(bool condition, const char* format, ...) __attribute__((format(printf, 2, 3)));

// Throws unless value >= 1.
void require_size(int64_t value, const char* name);

void require_aligned(uint64_t address, size_t alignment, const char* name);

// The device pointer behind an address that must be given.
template <class T>
T* require_address(uint64_t address, const char* name) {
  require(address != 0, "the address of %s is 0", name);
  require_aligned(address, alignof(T), name);
  return reinterpret_cast<T*>(address);
}

// The device pointer behind an address that may be 0 (nullptr then).
template <class T>
T* optional_address(uint64_t address, const char* name) {
  require_aligned(address, alignof(T), name);
  return reinterpret_cast<T*>(address);
}

}  // namespace remoe
