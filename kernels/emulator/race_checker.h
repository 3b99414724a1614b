// The check applied to every access of a kernel.
#pragma once

#include <cstddef>

#include "kernel_language.h"

namespace remoe::emulator::checker {

enum class Access { kRead, kWrite, kAtomic };

// Called before the access; `caller` is an address in the kernel's code.
void check_access(const void* address, size_t bytes, Access access, const void* caller);

// The same of an instruction at a line of the kernel, in device memory that is in use.
void check_global(const void* address, size_t bytes, Access access, Site site);

}  // namespace remoe::emulator::checker
