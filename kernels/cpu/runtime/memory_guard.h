// Guarded blocks. The pool surrounds and fills its blocks so that a kernel that writes outside its
// tensors, or reads uninitialised memory, is detected. For tests; see REMOE_MEMORY_GUARD in
// remoe.h.
#pragma once

#include <cstdint>
#include <optional>

namespace remoe {

// Where the surroundings of a block were overwritten.
struct Damage {
  uint64_t bytes;  // of the block
  int64_t offset;  // of the first wrong byte, relative to the block: below 0, or at least `bytes`
};

// Bytes to take from the pool for a block of `bytes`, including the canaries on both sides.
uint64_t guarded_bytes(uint64_t bytes);

// Prepares memory of guarded_bytes(bytes), aligned like the pool's: canaries with NaN in between
// (in fp32, bf16 and fp64; far out of range as an index). Returns the block, aligned as remoe.h
// specifies.
void* guard_block(void* memory, uint64_t bytes) noexcept;

// Fills the block with NaN and returns the memory behind it, which must not be touched until
// guard_block().
void* retire_block(void* block, uint64_t bytes) noexcept;

std::optional<Damage> find_damage(const void* block, uint64_t bytes) noexcept;

// Lifts the guards from memory on its way to or from the system.
void forget_guards(const void* memory, uint64_t bytes) noexcept;

}  // namespace remoe
