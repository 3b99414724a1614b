// What the counting build has counted, by kernel and by instruction.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

namespace remoe::emulator::counter {

enum class Space : uint8_t { kGlobal, kShared, kMatrices };

// An instruction that accesses memory. No caller: the copies of boxes and runs.
struct Place {
  const void* caller = nullptr;
  Space space = Space::kGlobal;
  uint8_t bytes = 0;  // of a lane
  uint8_t part = 0;   // of an object too large for one instruction: its offset
  bool is_write = false;

  bool operator==(const Place&) const = default;
};

struct PlaceHash {
  size_t operator()(const Place& place) const {
    const size_t rest = static_cast<size_t>(place.space) << 17 |
                        static_cast<size_t>(place.bytes) << 9 |
                        static_cast<size_t>(place.part) << 1 | static_cast<size_t>(place.is_write);
    return reinterpret_cast<size_t>(place.caller) * 0x9e3779b97f4a7c15u ^ rest;
  }
};

struct SiteTotals {
  Space space = Space::kGlobal;
  uint64_t accesses = 0;    // of a warp
  uint64_t lane_bytes = 0;  // summed over the lanes
  uint64_t bytes = 0;       // of global memory: what lanes share counts once
  uint64_t units = 0;       // sectors of global memory, passes at the banks of shared memory
  uint64_t ideal = 0;       // as few as could
};

struct KernelTotals {
  uint64_t launches = 0;
  uint64_t blocks = 0;
  uint64_t operations = 0;        // of tensor cores
  uint64_t distinct_read = 0;     // sectors that a launch reads, each once, over the launches
  uint64_t distinct_written = 0;  // the same, written
  std::unordered_map<Place, SiteTotals, PlaceHash> sites;
};

struct Counts {
  std::unordered_map<const void*, KernelTotals> kernels;
  uint64_t copied = 0;  // bytes copied within device memory
};

// Addresses are given as offsets in the library.
std::string as_json(const Counts& counts);

}  // namespace remoe::emulator::counter
