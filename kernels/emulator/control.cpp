// Called by tests, in addition to the library's C interface.

#include <cstring>

#include "device.h"
#include "reports.h"
#include "scheduler.h"

#define EMU_API extern "C" __attribute__((visibility("default")))

using remoe::emulator::device;

// order: 0 forward, 1 reverse, 2 random, 3 priority. If `deferred` is not 0, work is delayed until
// the host waits, and streams advance in random order.
EMU_API void emu_configure(int32_t order, uint64_t seed, int32_t deferred) {
  const auto lock = device().lock();
  remoe::emulator::set_order(static_cast<remoe::emulator::Order>(order), seed);
  device().random.seed(seed);
  device().deferred = deferred != 0;
}

// Has contexts that are opened later find a device of this compute capability: 80 or 90.
EMU_API void emu_pose(int32_t capability) {
  const auto lock = device().lock();
  device().capability = capability;
}

// The same for its multiprocessors, between which some kernels divide their work.
EMU_API void emu_multiprocessors(int32_t count) {
  const auto lock = device().lock();
  device().multiprocessors = count;
}

// Writes the reports, one per line, at most `length` bytes; returns the number of bytes needed.
EMU_API int32_t emu_reports(uint8_t* buffer, uint64_t length) {
  const auto lock = device().lock();
  const std::string text = remoe::emulator::all_reports();
  std::memcpy(buffer, text.data(), text.size() < length ? text.size() : length);
  return static_cast<int32_t>(text.size());
}

EMU_API void emu_clear_reports(void) {
  const auto lock = device().lock();
  remoe::emulator::clear_reports();
}

// Clears a fault, which on a GPU takes a new process.
EMU_API void emu_reset(void) {
  const auto lock = device().lock();
  device().reset();
}
