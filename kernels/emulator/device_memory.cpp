#include "device_memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <map>

#include "checker.h"
#include "device.h"
#include "reservation.h"
#include "runtime_api.h"

namespace remoe::emulator {
namespace {

constexpr size_t kAddressSpace = size_t{64} << 30;
constexpr size_t kLarge = size_t{2} << 20;
constexpr size_t kPage = size_t{64}
                         << 10;  // a multiple of any page size, and the gap after a block

struct Memory {
  unsigned char* base = nullptr;
  size_t next = 0;       // unused address space
  size_t allocated = 0;  // bytes
  std::map<unsigned char*, size_t> allocations;
  std::map<unsigned char*, size_t> open;  // blocks that kernels may touch
};

// No part of the reservation is backed by memory until it is allocated.
Memory& memory() {
  static const Reservation space(kAddressSpace);
  static Memory one = [] {
    Memory made;
    if (space.base() == nullptr) return made;
    made.base = static_cast<unsigned char*>(space.base());
    made.next = (kLarge - reinterpret_cast<uintptr_t>(made.base) % kLarge) % kLarge;
    return made;
  }();
  return one;
}

// Bytes from `address` to the end of the range containing it; 0 if there is none.
size_t bytes_left(const std::map<unsigned char*, size_t>& ranges, const void* address) {
  auto* byte = static_cast<unsigned char*>(const_cast<void*>(address));
  auto after = ranges.upper_bound(byte);
  if (after == ranges.begin()) return 0;
  --after;
  const size_t offset = static_cast<size_t>(byte - after->first);
  return offset < after->second ? after->second - offset : 0;
}

size_t rounded(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

bool is_device_address(const void* address) {
  return memory().base != nullptr && device_offset(address) < kAddressSpace;
}

size_t device_offset(const void* address) {
  return reinterpret_cast<uintptr_t>(address) - reinterpret_cast<uintptr_t>(memory().base);
}

size_t device_address_space() { return kAddressSpace; }

bool is_open(const void* address, size_t bytes) {
  return bytes_left(memory().open, address) >= bytes;
}

bool is_allocated(const void* address) { return bytes_left(memory().allocations, address) > 0; }

void open_block(void* address, size_t bytes) {
  std::memset(address, 0xff, bytes);  // NaN in every floating-point format
  memory().open[static_cast<unsigned char*>(address)] = bytes;
  checker::block_opened(address, bytes);
}

void close_block(void* address) { memory().open.erase(static_cast<unsigned char*>(address)); }

}  // namespace remoe::emulator

using remoe::emulator::device;

cudaError_t cudaMalloc(void** address, size_t bytes) {
  const auto lock = device().lock();
  using namespace remoe::emulator;
  if (device().failure != cudaSuccess) return device().failure;
  Memory& all = memory();
  const size_t size = rounded(bytes, kPage);
  if (all.base == nullptr || bytes > kDeviceBytes - all.allocated) {
    return device().refuse(cudaErrorMemoryAllocation);
  }
  const size_t offset = bytes >= kLarge ? rounded(all.next, kLarge) : all.next;
  if (offset + size + kPage > kAddressSpace ||
      mprotect(all.base + offset, size, PROT_READ | PROT_WRITE) != 0) {
    return device().refuse(cudaErrorMemoryAllocation);
  }
  all.next = offset + size + kPage;
  all.allocated += size;
  *address = all.base + offset;
  all.allocations[all.base + offset] = size;
  return cudaSuccess;
}

cudaError_t cudaFree(void* address) {
  const cudaError_t error = cudaDeviceSynchronize();
  const auto lock = device().lock();
  using namespace remoe::emulator;
  if (address == nullptr) return error;
  auto found = memory().allocations.find(static_cast<unsigned char*>(address));
  if (found == memory().allocations.end()) return device().refuse(cudaErrorInvalidValue);
  const size_t size = found->second;
  memory().allocations.erase(found);
  memory().allocated -= size;
  // Remapping gives the pages back and makes the range unreadable.
  mmap(address, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  return error;
}
