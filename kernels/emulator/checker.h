// What the emulator tells the memory checker. The plain build links no_checker.cpp, the checked
// build race_checker.cpp and, for the accesses themselves, tsan_hooks.cpp.
#pragma once

#include <cstddef>

namespace remoe::emulator {

struct Launch;

namespace checker {

void launch_begins(const Launch& launch);
void launch_ends();

// A block of device memory appears, with undefined content.
void block_opened(const void* address, size_t bytes);

// The host, or a copy on its behalf, has written.
void host_wrote(const void* address, size_t bytes);
// A copy on the device: what was undefined stays so.
void device_copied(const void* target, const void* source, size_t bytes);

void atomic_access(const void* address, size_t bytes, const void* caller);

}  // namespace checker
}  // namespace remoe::emulator
