// Detects races, uninitialised reads and out-of-bounds accesses by CUDA's rules rather than by
// chance: a race is two accesses that nothing orders, whatever order they happened to run in.
//
// Every byte of device and shared memory has three stamps: of its last write, and of the last read
// and last atomic since. An access ordered before the present one can be replaced by it, since any
// later access unordered with the former is also unordered with the latter. Atomics are kept
// apart: they do not conflict with each other, so one cannot stand in for an earlier write.

#include "race_checker.h"

#include <dlfcn.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "checker.h"
#include "checker_reports.h"
#include "device.h"
#include "device_memory.h"
#include "ordering.h"
#include "reports.h"
#include "reservation.h"
#include "scheduler_state.h"
#include "shared_memory.h"
#include "stamp.h"

namespace remoe::emulator::checker {
namespace {

struct Shadow {
  Stamp write;
  Stamp read;
  Stamp atomic;
};

// Address space for the shadow of all device memory, opened together with its blocks.
struct Checker {
  Shadow* device = nullptr;
  Shadow shared[kSharedMemoryBytes];
  uint32_t launch = 0;
  const Launch* running = nullptr;
};

Checker& checker() {
  static const Reservation space(device_address_space() * sizeof(Shadow));
  static Checker one;
  one.device = static_cast<Shadow*>(space.base());
  return one;
}

Shadow* device_shadow(const void* address) { return checker().device + device_offset(address); }

Stamp stamp_now() {
  const Fiber& fiber = *running_block().current;
  Stamp now;
  now.launch = checker().launch;
  now.block = running_block().number;
  now.barriers = fiber.barriers;
  now.warp_barriers = fiber.warp_barriers;
  now.thread = static_cast<unsigned>(fiber.thread);
  return now;
}

std::string describe(const Stamp& other) {
  if (other.is_never() || other.launch == Stamp::kHost) return "";
  const std::string block = other.block == Stamp::kManyBlocks
                                ? std::string("several blocks")
                                : "block " + std::to_string(other.block);
  if (other.thread == Stamp::kManyWarps) return "; other: " + block + ", several threads";
  if (other.thread >= Stamp::kWarpOf) {
    return "; other: " + block + ", several threads of warp " + std::to_string(other.warp());
  }
  return "; other: " + block + ", thread " + std::to_string(other.thread);
}

}  // namespace

std::string locate(const void* caller) {
  Dl_info module;
  if (dladdr(caller, &module) == 0) return "?";
  const char* slash = std::strrchr(module.dli_fname, '/');
  char text[256];
  // One byte back, since the return address may belong to the next line.
  std::snprintf(text, sizeof text, "%s+0x%zx", slash == nullptr ? module.dli_fname : slash + 1,
                static_cast<const char*>(caller) - static_cast<const char*>(module.dli_fbase) - 1);
  return text;
}

namespace {

// Where an access is: an address in the kernel's code, or a line of it.
struct Place {
  const void* caller = nullptr;
  Site site;

  std::string text() const {
    if (caller != nullptr) return locate(caller);
    return std::string(site.file) + ":" + std::to_string(site.line);
  }
};

void report(const char* kind, const char* space, size_t bytes, const Place& place,
            const Stamp& other = Stamp()) {
  const std::string detail = std::to_string(bytes) + " bytes, block " +
                             std::to_string(running_block().number) + ", thread " +
                             std::to_string(running_block().current->thread) + describe(other);
  add_report(std::string(kind) + " in " + space + " memory at " + place.text(), detail);
}

// Whether `stamp` conflicts with an access made now; if so, keeps it for the report.
bool conflicts(const Stamp& stamp, const Stamp& now, Stamp& other) {
  if (stamp.is_never() || stamp.is_before(now)) return false;
  other = stamp;
  return true;
}

void add_to(Stamp& stamp, const Stamp& now) {
  const bool ordered = stamp.is_never() || stamp.is_before(now);
  stamp = ordered ? now : stamp.joined(now);
}

// Each of these checks and stamps one byte, and returns what is wrong, with the other access.
const char* check_read(Shadow& byte, const Stamp& now, Stamp& other) {
  const char* wrong = nullptr;
  if (byte.write.is_never()) wrong = "uninitialised read";
  if (conflicts(byte.write, now, other)) wrong = "read-after-write race";
  if (conflicts(byte.atomic, now, other)) wrong = "read-after-atomic race";
  add_to(byte.read, now);
  return wrong;
}

const char* check_atomic(Shadow& byte, const Stamp& now, Stamp& other) {
  const char* wrong = nullptr;
  if (byte.write.is_never()) wrong = "uninitialised atomic";
  if (conflicts(byte.write, now, other)) wrong = "atomic-after-write race";
  if (conflicts(byte.read, now, other)) wrong = "atomic-after-read race";
  add_to(byte.atomic, now);
  return wrong;
}

const char* check_write(Shadow& byte, const Stamp& now, Stamp& other) {
  const char* wrong = nullptr;
  if (conflicts(byte.write, now, other)) wrong = "write-after-write race";
  if (conflicts(byte.read, now, other)) wrong = "write-after-read race";
  if (conflicts(byte.atomic, now, other)) wrong = "write-after-atomic race";
  byte.write = now;
  byte.read = Stamp();
  byte.atomic = Stamp();
  return wrong;
}

const char* check_byte(Shadow& byte, const Stamp& now, Access access, Stamp& other) {
  switch (access) {
    case Access::kRead:
      return check_read(byte, now, other);
    case Access::kAtomic:
      return check_atomic(byte, now, other);
    default:
      return check_write(byte, now, other);
  }
}

// Shared memory starts afresh with every block: older stamps are those of its predecessors.
void forget_other_blocks(Shadow& byte, const Stamp& now) {
  for (Stamp* stamp : {&byte.write, &byte.read, &byte.atomic}) {
    if (stamp->launch != now.launch || stamp->block != now.block) *stamp = Stamp();
  }
}

enum class Space { kGlobal, kShared };

void check_bytes(Shadow* bytes, size_t count, Access access, Space space, const Place& place) {
  const Stamp now = stamp_now();
  const char* wrong = nullptr;
  Stamp other;
  for (size_t i = 0; i < count; i++) {
    if (space == Space::kShared) forget_other_blocks(bytes[i], now);
    if (const char* found = check_byte(bytes[i], now, access, other)) wrong = found;
  }
  const char* name = space == Space::kShared ? "shared" : "global";
  if (wrong != nullptr) report(wrong, name, count, place, other);
}

// Page-locked memory, which the host reads and writes meanwhile: what orders that is not known.
bool is_pinned(const void* address) {
  for (const auto& [block, bytes] : device().pinned) {
    const auto* first = static_cast<const char*>(block);
    if (address >= first && address < first + bytes) return true;
  }
  return false;
}

// The kernel's arguments, and constants of the library.
bool is_kernels_own(const void* address) {
  const auto* call = static_cast<const char*>(checker().running->call.get());
  if (address >= call && address < call + checker().running->call_bytes) return true;
  Dl_info module;
  return dladdr(address, &module) != 0;
}

void check_device_access(const void* address, size_t bytes, Access access, const void* caller) {
  if (!is_open(address, bytes)) {
    report(access == Access::kRead ? "out-of-bounds read" : "out-of-bounds write", "global", bytes,
           {caller, {}});
    // If there is memory, between the pool's blocks, the kernel can continue and reveal more.
    if (!is_allocated(address)) abort_launch("illegal address at " + locate(caller));
    return;
  }
  check_bytes(device_shadow(address), bytes, access, Space::kGlobal, {caller, {}});
}

}  // namespace

void check_access(const void* address, size_t bytes, Access access, const void* caller) {
  // Most accesses are to the thread's own stack.
  const Fiber* fiber = running_block().current;
  if (fiber == nullptr || fiber->stack.contains(address) || running_block().combining) return;
  if (is_device_address(address)) return check_device_access(address, bytes, access, caller);
  const size_t offset = shared_offset(address);
  if (offset < kSharedMemoryBytes) {
    if (offset + bytes > checker().running->shared_bytes) {
      return report(access == Access::kRead ? "out-of-bounds read" : "out-of-bounds write",
                    "shared", bytes, {caller, {}});
    }
    if (ordering::is_active()) return ordering::access(offset, bytes, access, caller);
    return check_bytes(checker().shared + offset, bytes, access, Space::kShared, {caller, {}});
  }
  if (is_kernels_own(address) || is_pinned(address)) return;
  report("access to host memory", "a kernel's", bytes, {caller, {}});
  abort_launch("a kernel touches host memory at " + locate(caller));
}

void check_global(const void* address, size_t bytes, Access access, Site site) {
  check_bytes(device_shadow(address), bytes, access, Space::kGlobal, {nullptr, site});
}

bool is_shared_written(size_t offset) {
  const Stamp& write = checker().shared[offset].write;
  return write.launch == checker().launch && write.block == running_block().number;
}

void launch_begins(const Launch& launch) {
  Checker& all = checker();
  all.running = &launch;
  all.launch = all.launch + 1 == Stamp::kHost ? 1 : all.launch + 1;
}

void launch_ends() { checker().running = nullptr; }

void block_opened(const void* address, size_t bytes) {
  constexpr uintptr_t kPage = 65536;  // a multiple of any machine's
  const auto first = reinterpret_cast<uintptr_t>(device_shadow(address));
  const auto last = reinterpret_cast<uintptr_t>(device_shadow(address) + bytes);
  const uintptr_t first_page = first / kPage * kPage;
  mprotect(reinterpret_cast<void*>(first_page), last - first_page, PROT_READ | PROT_WRITE);
  // Whole pages are returned to the system and read as zeros; the rest may be shared with other
  // blocks.
  const uintptr_t inner_first = (first + kPage - 1) / kPage * kPage;
  const uintptr_t inner_last = last / kPage * kPage;
  if (inner_first >= inner_last) {
    std::memset(reinterpret_cast<void*>(first), 0, last - first);
    return;
  }
  std::memset(reinterpret_cast<void*>(first), 0, inner_first - first);
  madvise(reinterpret_cast<void*>(inner_first), inner_last - inner_first, MADV_DONTNEED);
  std::memset(reinterpret_cast<void*>(inner_last), 0, last - inner_last);
}

void host_wrote(const void* address, size_t bytes) {
  Shadow written;
  written.write.launch = Stamp::kHost;
  Shadow* shadow = device_shadow(address);
  for (size_t i = 0; i < bytes; i++) shadow[i] = written;
}

void device_copied(const void* target, const void* source, size_t bytes) {
  Shadow* to = device_shadow(target);
  const Shadow* from = device_shadow(source);
  for (size_t i = 0; i < bytes; i++) {
    to[i] = Shadow();
    if (!from[i].write.is_never()) to[i].write.launch = Stamp::kHost;
  }
}

void atomic_access(const void* address, size_t bytes, const void* caller) {
  check_access(address, bytes, Access::kAtomic, caller);
}

}  // namespace remoe::emulator::checker
