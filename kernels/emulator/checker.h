// The emulator's calls into the memory checker. The plain build links no_checker.cpp; the checked
// build links race_checker.cpp and, for the accesses themselves, tsan_hooks.cpp.
#pragma once

#include <cstddef>

namespace remoe::emulator {

struct Launch;

namespace checker {

void launch_begins(const Launch& launch);
void launch_ends();

// A block of device memory becomes usable, with undefined contents.
void block_opened(const void* address, size_t bytes);

// The host, or a copy on its behalf, has written.
void host_wrote(const void* address, size_t bytes);
// A copy on the device: undefined bytes stay undefined.
void device_copied(const void* target, const void* source, size_t bytes);

void atomic_access(const void* address, size_t bytes, const void* caller);

}  // namespace checker
}  // namespace remoe::emulator
