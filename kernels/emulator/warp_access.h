// What one instruction of a warp asks of memory.
#pragma once

#include <cstdint>

namespace remoe::emulator::counter {

// The addresses that lanes give an instruction, and the bytes that each accesses there.
struct WarpAccess {
  uint32_t lanes = 0;  // a bit each
  uint32_t bytes = 0;
  uint64_t address[32];
};

struct SectorCount {
  uint32_t sectors = 0;  // of 32 bytes, that contain what is accessed
  uint32_t ideal = 0;    // as few as could
  uint32_t bytes = 0;    // that are accessed, each once
};
SectorCount count_sectors(const WarpAccess& access);

// Of shared memory: 32 banks of 4 bytes. Accesses of 8 bytes are served half a warp at a time, of
// 16 a quarter; lanes that want one word of a bank get it together, other words take turns.
struct BankCount {
  uint32_t passes = 0;
  uint32_t ideal = 0;
};
BankCount count_banks(const WarpAccess& access);

}  // namespace remoe::emulator::counter
