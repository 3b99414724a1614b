// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), kBlocks
// counters at a time.
#pragma once

#include <cstdint>

namespace remoe::REMOE_TARGET {

inline constexpr int kPhiloxBlocks = 16;

struct PhiloxBlocks {
  uint32_t word[4][kPhiloxBlocks];
};

// Blocks [first, first + kPhiloxBlocks): counter (block low, block high, operation, step).
[[gnu::always_inline]] inline void philox(PhiloxBlocks& blocks, uint64_t seed, uint64_t first,
                                          uint32_t operation, uint32_t step) {
  constexpr uint64_t kMultiply0 = 0xD2511F53, kMultiply1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  constexpr int kRounds = 10;
  for (int i = 0; i < kPhiloxBlocks; ++i) {
    blocks.word[0][i] = static_cast<uint32_t>(first + i);
    blocks.word[1][i] = static_cast<uint32_t>((first + i) >> 32);
    blocks.word[2][i] = operation;
    blocks.word[3][i] = step;
  }
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kPhiloxBlocks; ++i) {
      const uint64_t product0 = kMultiply0 * blocks.word[0][i];
      const uint64_t product1 = kMultiply1 * blocks.word[2][i];
      blocks.word[0][i] = static_cast<uint32_t>(product1 >> 32) ^ blocks.word[1][i] ^ key0;
      blocks.word[1][i] = static_cast<uint32_t>(product1);
      blocks.word[2][i] = static_cast<uint32_t>(product0 >> 32) ^ blocks.word[3][i] ^ key1;
      blocks.word[3][i] = static_cast<uint32_t>(product0);
    }
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
}

}  // namespace remoe::REMOE_TARGET
