// Guarded blocks: what a pool puts around and into its blocks so that a kernel which leaves its
// tensors, or reads what nobody wrote, is found out. For tests; see REMOE_MEMORY_GUARD in remoe.h.
#pragma once

#include <cstdint>
#include <optional>

namespace remoe {

// Where a block's surroundings were written to.
struct Damage {
  uint64_t bytes;  // of the block
  int64_t offset;  // of the first wrong byte from the block's first: below 0, or `bytes` and more
};

// Bytes to take from the pool for a block of `bytes`, the canaries on both sides included.
uint64_t guarded_bytes(uint64_t bytes);

// Prepares memory of guarded_bytes(bytes), aligned as the pool's: canaries, and NaN in between (in
// fp32, bf16 and fp64; far out of range as an index). Gives the block, aligned as the contract
// says.
void* guard_block(void* memory, uint64_t bytes) noexcept;

// Fills the block with NaN and gives the memory behind it, which no one is to touch until
// guard_block().
void* retire_block(void* block, uint64_t bytes) noexcept;

std::optional<Damage> find_damage(const void* block, uint64_t bytes) noexcept;

// Memory that goes to or comes from the system is anyone's again.
void forget_guards(const void* memory, uint64_t bytes) noexcept;

}  // namespace remoe
