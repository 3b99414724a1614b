#include "shared_memory.h"

#include <cstdint>
#include <cstring>

#include "launch.h"
#include "scheduler_state.h"

namespace remoe::emulator {
namespace {

alignas(1024) unsigned char shared_bytes[kSharedMemoryBytes];

}  // namespace

size_t shared_offset(const void* address) {
  return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(shared_bytes);
}

void poison_shared_memory(size_t bytes) { std::memset(shared_bytes, 0xff, bytes); }

unsigned char* shared_memory() { return shared_bytes; }

size_t shared_memory_bytes() { return running_block().launch->shared_bytes; }

}  // namespace remoe::emulator
