// The check applied to every access of a kernel.
#pragma once

#include <cstddef>

namespace remoe::emulator::checker {

enum class Access { kRead, kWrite, kAtomic };

// Called before the access; `caller` is an address in the kernel's code.
void check_access(const void* address, size_t bytes, Access access, const void* caller);

}  // namespace remoe::emulator::checker
