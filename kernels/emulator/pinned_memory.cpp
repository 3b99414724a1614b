#include "pinned_memory.h"

#include <sys/mman.h>

#include <cstdint>

namespace remoe::emulator {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kAlignment = 64;

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

void* map_before_guard(size_t bytes) {
  const size_t usable = rounded(bytes, kPage);
  void* mapped =
      mmap(nullptr, usable + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* first = static_cast<unsigned char*>(mapped);
  mprotect(first + usable, kPage, PROT_NONE);
  return first + usable - rounded(bytes, kAlignment);
}

void unmap_before_guard(void* address, size_t bytes) {
  const auto place = reinterpret_cast<uintptr_t>(address) / kPage * kPage;
  munmap(reinterpret_cast<void*>(place), rounded(bytes, kPage) + kPage);
}

}  // namespace remoe::emulator
