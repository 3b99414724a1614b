// Counts what kernels ask of a GPU: sectors of global memory, turns at the banks of shared memory,
// operations of tensor cores. In place of the race checker, it gets every access of a kernel from
// tsan_hooks.cpp, one lane at a time.
//
// The accesses that a GPU makes together are found again by the instruction and by how often the
// lane has executed it since all lanes of its warp were last in one place: a barrier or a
// collective. That is exact where the lanes of a warp take the same way in between. Where they part
// in a loop, accesses that belong together can be counted apart, and the count is an upper bound.

#include "counter.h"

#include <sys/mman.h>

#include <cstring>
#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "checker.h"
#include "counts.h"
#include "device_memory.h"
#include "race_checker.h"
#include "reservation.h"
#include "scheduler_state.h"
#include "shared_memory.h"
#include "warp_access.h"

namespace remoe::emulator::counter {
namespace {

constexpr size_t kSector = 32;
constexpr uint32_t kWidest = 16;  // bytes that a lane's instruction can access
constexpr uint32_t kRow = 16;     // of ldmatrix

// Accesses of a warp's lanes by one instruction that not all lanes have made yet.
struct Pending {
  SiteTotals* totals = nullptr;
  bool is_touched = false;
  uint32_t made[32] = {};  // by each lane
  uint32_t first = 0;      // number of the oldest of `accesses`
  std::deque<WarpAccess> accesses;
};

struct WarpState {
  std::unordered_map<Place, Pending, PlaceHash> pending;
  std::vector<Pending*> touched;  // since the lanes were together
};

// The launch that last read and wrote each sector.
struct Sector {
  uint32_t read = 0;
  uint32_t written = 0;
};

struct Counter {
  Counts counts;
  KernelTotals* kernel = nullptr;
  uint32_t launch = 0;
  std::vector<WarpState> warps;
  std::vector<uint8_t> in_matrices;  // by thread
  Sector* sectors = nullptr;
};

size_t sectors_space() { return device_address_space() / kSector * sizeof(Sector); }

Counter& counter() {
  static const Reservation space(sectors_space());
  static Counter one;
  one.sectors = static_cast<Sector*>(space.base());
  return one;
}

// Counts sectors that the launch has not touched so before.
void touch(uint64_t address, size_t bytes, bool is_write) {
  Counter& all = counter();
  const size_t offset = device_offset(reinterpret_cast<const void*>(address));
  for (size_t s = offset / kSector; s <= (offset + bytes - 1) / kSector; s++) {
    uint32_t& last = is_write ? all.sectors[s].written : all.sectors[s].read;
    if (last == all.launch) continue;
    last = all.launch;
    (is_write ? all.kernel->distinct_written : all.kernel->distinct_read)++;
  }
}

void count(SiteTotals& totals, const WarpAccess& access) {
  totals.accesses++;
  totals.lane_bytes += static_cast<uint64_t>(__builtin_popcount(access.lanes)) * access.bytes;
  if (totals.space == Space::kGlobal) {
    const SectorCount found = count_sectors(access);
    totals.bytes += found.bytes;
    totals.units += found.sectors;
    totals.ideal += found.ideal;
  } else {
    const BankCount found = count_banks(access);
    totals.units += found.passes;
    totals.ideal += found.ideal;
  }
}

void finish(Pending& pending) {
  for (const WarpAccess& access : pending.accesses) count(*pending.totals, access);
  pending.accesses.clear();
  pending.is_touched = false;
  pending.first = 0;
  std::memset(pending.made, 0, sizeof pending.made);
}

void finish(WarpState& warp) {
  for (Pending* pending : warp.touched) finish(*pending);
  warp.touched.clear();
}

WarpState& warp_state(int warp) {
  auto& warps = counter().warps;
  if (warps.size() <= static_cast<size_t>(warp)) warps.resize(static_cast<size_t>(warp) + 1);
  return warps[static_cast<size_t>(warp)];
}

void add(const Place& place, uint64_t address) {
  const Fiber& fiber = *running_block().current;
  WarpState& warp = warp_state(fiber.warp);
  Pending& pending = warp.pending[place];
  if (pending.totals == nullptr) {
    pending.totals = &counter().kernel->sites[place];
    pending.totals->space = place.space;
  }
  if (!pending.is_touched) warp.touched.push_back(&pending);
  pending.is_touched = true;
  const uint32_t number = pending.made[fiber.lane]++;
  while (number - pending.first >= pending.accesses.size()) {
    pending.accesses.emplace_back().bytes = place.bytes;
  }
  WarpAccess& access = pending.accesses[number - pending.first];
  access.lanes |= 1u << fiber.lane;
  access.address[fiber.lane] = address;
  while (!pending.accesses.empty() && pending.accesses.front().lanes == ~0u) {
    count(*pending.totals, pending.accesses.front());
    pending.accesses.pop_front();
    pending.first++;
  }
}

uint8_t& in_matrices() {
  auto& threads = counter().in_matrices;
  const auto thread = static_cast<size_t>(running_block().current->thread);
  if (threads.size() <= thread) threads.resize(thread + 1);
  return threads[thread];
}

// In parts that an instruction can access.
void add_parts(Space space, uint64_t address, size_t bytes, bool is_write, const void* caller) {
  for (size_t done = 0; done < bytes; done += kWidest) {
    const size_t part = bytes - done < kWidest ? bytes - done : kWidest;
    add({caller, space, static_cast<uint8_t>(part), static_cast<uint8_t>(done), is_write},
        address + done);
  }
}

}  // namespace

void lane_access(const void* address, size_t bytes, bool is_write, const void* caller) {
  Counter& all = counter();
  if (all.kernel == nullptr || running_block().current == nullptr || in_matrices() != 0) return;
  const auto number = reinterpret_cast<uint64_t>(address);
  if (is_device_address(address)) {
    touch(number, bytes, is_write);
    add_parts(Space::kGlobal, number, bytes, is_write, caller);
  } else if (const size_t offset = shared_offset(address); offset < kSharedMemoryBytes) {
    add_parts(Space::kShared, offset, bytes, is_write, caller);
  }
}

void bulk_access(const void* global, size_t bytes, bool is_write) {
  Counter& all = counter();
  const auto address = reinterpret_cast<uint64_t>(global);
  touch(address, bytes, is_write);
  const Place place = {nullptr, Space::kGlobal, 0, 0, is_write};
  SiteTotals& totals = all.kernel->sites[place];
  totals.accesses++;
  totals.bytes += bytes;
  totals.lane_bytes += bytes;
  totals.units += (address + bytes + kSector - 1) / kSector - address / kSector;
  totals.ideal += (bytes + kSector - 1) / kSector;
}

void matrices_begin(const void* row) {
  const void* caller = __builtin_return_address(0);
  if (const size_t offset = shared_offset(row); offset < kSharedMemoryBytes) {
    add({caller, Space::kMatrices, kRow, 0, false}, offset);
  }
  in_matrices() = 1;
}

void matrices_end() { in_matrices() = 0; }

bool product(long operations) {
  counter().kernel->operations += static_cast<uint64_t>(operations);
  return false;
}

void warp_meets(int warp) {
  if (static_cast<size_t>(warp) < counter().warps.size()) finish(counter().warps[warp]);
}

void block_meets() {
  for (WarpState& warp : counter().warps) finish(warp);
}

void block_ends() {
  block_meets();
  counter().kernel->blocks++;
}

}  // namespace remoe::emulator::counter

namespace remoe::emulator::checker {

using counter::counter;

void launch_begins(const Launch& launch) {
  counter::Counter& all = counter::counter();
  // gpu::launch puts the kernel's address before its arguments.
  const void* kernel = *static_cast<const void* const*>(launch.call.get());
  all.kernel = &all.counts.kernels[kernel];
  all.kernel->launches++;
  all.launch++;
  all.warps.clear();
  all.in_matrices.clear();
}

void launch_ends() {
  counter::Counter& all = counter::counter();
  all.warps.clear();
  all.kernel = nullptr;
}

void block_opened(const void* address, size_t bytes) {
  constexpr uintptr_t kPage = 65536;  // a multiple of any machine's
  counter::Sector* sectors = counter::counter().sectors;
  const auto place = [&](size_t offset) {
    return reinterpret_cast<uintptr_t>(sectors + offset / counter::kSector);
  };
  const size_t offset = device_offset(address);
  const uintptr_t first = place(offset) / kPage * kPage;
  const uintptr_t last = place(offset + bytes) + sizeof(counter::Sector);
  mprotect(reinterpret_cast<void*>(first), last - first, PROT_READ | PROT_WRITE);
}

void host_wrote(const void*, size_t) {}

void device_copied(const void*, const void*, size_t bytes) {
  counter::counter().counts.copied += bytes;
}

void atomic_access(const void* address, size_t bytes, const void* caller) {
  check_access(address, bytes, Access::kAtomic, caller);
}

void check_access(const void* address, size_t bytes, Access access, const void* caller) {
  if (running_block().combining) return;
  if (access != Access::kWrite) counter::lane_access(address, bytes, false, caller);
  if (access != Access::kRead) counter::lane_access(address, bytes, true, caller);
}

void check_global(const void*, size_t, Access, Site) {}

}  // namespace remoe::emulator::checker

#define EMU_API extern "C" __attribute__((visibility("default")))

// Writes the counts since the last emu_clear_counts as JSON, at most `length` bytes; returns the
// number of bytes needed.
EMU_API int32_t emu_counts(uint8_t* buffer, uint64_t length) {
  const std::string text =
      remoe::emulator::counter::as_json(remoe::emulator::counter::counter().counts);
  std::memcpy(buffer, text.data(), text.size() < length ? text.size() : length);
  return static_cast<int32_t>(text.size());
}

EMU_API void emu_clear_counts(void) {
  remoe::emulator::counter::counter().counts = remoe::emulator::counter::Counts();
}
