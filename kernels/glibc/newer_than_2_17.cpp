// What libstdc++ asks of glibc where glibc is newer than 2.17, the oldest one that the library may
// be loaded by. These are of the library alone: it exports nothing but the contract.

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

extern "C" {

// Of glibc 2.32. Zero says that there may be several threads.
extern char __libc_single_threaded;
char __libc_single_threaded = 0;

// Of glibc 2.25.
int getentropy(void* to, size_t bytes) {
  return syscall(SYS_getrandom, to, bytes, 0) == static_cast<long>(bytes) ? 0 : -1;
}

// Of glibc 2.36.
uint32_t arc4random() {
  uint32_t value = 0;
  if (getentropy(&value, sizeof value) != 0) __builtin_trap();
  return value;
}
}
