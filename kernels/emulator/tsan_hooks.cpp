// g++ -fsanitize=thread inserts a call before every access and leaves its meaning to the runtime.
// Linked without libtsan, this file is the runtime, and kernels are checked by a GPU's rules. Only
// the sources of kernels/cuda are compiled with that flag.

#include <cstdint>
#include <cstring>

#include "race_checker.h"

using remoe::emulator::checker::Access;
using remoe::emulator::checker::check_access;

#define REMOE_CALLER __builtin_return_address(0)

#define REMOE_HOOK(name, bytes, access) \
  void __tsan_##name##bytes(void* address) { check_access(address, bytes, access, REMOE_CALLER); }

#define REMOE_HOOKS(bytes)                                      \
  REMOE_HOOK(read, bytes, Access::kRead)                        \
  REMOE_HOOK(write, bytes, Access::kWrite)                      \
  REMOE_HOOK(unaligned_read, bytes, Access::kRead)              \
  REMOE_HOOK(unaligned_write, bytes, Access::kWrite)            \
  REMOE_HOOK(volatile_read, bytes, Access::kRead)               \
  REMOE_HOOK(volatile_write, bytes, Access::kWrite)             \
  void __tsan_read_write##bytes(void* address) {                \
    check_access(address, bytes, Access::kRead, REMOE_CALLER);  \
    check_access(address, bytes, Access::kWrite, REMOE_CALLER); \
  }

extern "C" {

REMOE_HOOKS(1)
REMOE_HOOKS(2)
REMOE_HOOKS(4)
REMOE_HOOKS(8)
REMOE_HOOKS(16)

void __tsan_read_range(void* address, size_t bytes) {
  check_access(address, bytes, Access::kRead, REMOE_CALLER);
}

void __tsan_write_range(void* address, size_t bytes) {
  check_access(address, bytes, Access::kWrite, REMOE_CALLER);
}

void* __tsan_memcpy(void* target, const void* source, size_t bytes) {
  check_access(source, bytes, Access::kRead, REMOE_CALLER);
  check_access(target, bytes, Access::kWrite, REMOE_CALLER);
  return std::memcpy(target, source, bytes);
}

void* __tsan_memset(void* target, int value, size_t bytes) {
  check_access(target, bytes, Access::kWrite, REMOE_CALLER);
  return std::memset(target, value, bytes);
}

// The reference counts of std::shared_ptr, in the host code of the sources.
int32_t __tsan_atomic32_fetch_add(volatile int32_t* address, int32_t value, int) {
  return __atomic_fetch_add(address, value, __ATOMIC_ACQ_REL);
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

}  // extern "C"
