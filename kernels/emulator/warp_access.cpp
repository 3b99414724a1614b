#include "warp_access.h"

#include <algorithm>
#include <utility>

namespace remoe::emulator::counter {
namespace {

constexpr uint64_t kSector = 32;
constexpr uint32_t kBanks = 32;
constexpr uint32_t kWord = 4;
constexpr uint32_t kPassBytes = kBanks * kWord;

bool has(const WarpAccess& access, int lane) { return (access.lanes >> lane & 1) != 0; }

// Lanes of one phase, of which each accesses words [address / 4, (address + bytes - 1) / 4].
uint32_t passes_of(const WarpAccess& access, int first, int count) {
  uint64_t words[kBanks][kBanks * 4];
  uint32_t filled[kBanks] = {};
  uint32_t most = 0;
  for (int lane = first; lane < first + count; lane++) {
    if (!has(access, lane)) continue;
    const uint64_t last = (access.address[lane] + access.bytes - 1) / kWord;
    for (uint64_t word = access.address[lane] / kWord; word <= last; word++) {
      auto& bank = words[word % kBanks];
      uint32_t& used = filled[word % kBanks];
      if (std::find(bank, bank + used, word) != bank + used) continue;
      bank[used++] = word;
      most = std::max(most, used);
    }
  }
  return most;
}

}  // namespace

SectorCount count_sectors(const WarpAccess& access) {
  std::pair<uint64_t, uint64_t> runs[32];
  int count = 0;
  for (int lane = 0; lane < 32; lane++) {
    if (has(access, lane))
      runs[count++] = {access.address[lane], access.address[lane] + access.bytes};
  }
  std::sort(runs, runs + count);
  SectorCount result;
  uint64_t bytes_end = 0, sectors_end = 0;  // of what is counted
  for (int i = 0; i < count; i++) {
    const auto [from, to] = runs[i];
    if (to > bytes_end) result.bytes += static_cast<uint32_t>(to - std::max(from, bytes_end));
    bytes_end = std::max(bytes_end, to);
    const uint64_t first = std::max(from / kSector, sectors_end);
    const uint64_t end = (to + kSector - 1) / kSector;
    if (end > first) result.sectors += static_cast<uint32_t>(end - first);
    sectors_end = std::max(sectors_end, end);
  }
  result.ideal = static_cast<uint32_t>((result.bytes + kSector - 1) / kSector);
  return result;
}

BankCount count_banks(const WarpAccess& access) {
  const int lanes = static_cast<int>(std::clamp(kPassBytes / access.bytes, 1u, 32u));
  BankCount result;
  for (int first = 0; first < 32; first += lanes) {
    const uint32_t passes = passes_of(access, first, lanes);
    result.passes += passes;
    if (passes > 0) result.ideal++;
  }
  return result;
}

}  // namespace remoe::emulator::counter
