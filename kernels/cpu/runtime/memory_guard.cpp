#include "runtime/memory_guard.h"

#include <algorithm>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

namespace remoe {
namespace {

constexpr uint64_t kHugePage = uint64_t{2} << 20;
constexpr uint64_t kCanaryBytes = 4096;  // of large blocks: a row or two
constexpr uint64_t kSmallCanaryBytes = 256;
constexpr uint8_t kCanary = 0xc5;

// Canaries of one block. `lead` is the distance from the start of the memory to the block. For a
// large block it preserves the alignment, so only its end holds the canary and the rest is unused.
struct Guards {
  uint64_t lead;
  uint64_t canary;
};

Guards guards_of(uint64_t bytes) {
  if (bytes >= kHugePage) return {kHugePage, kCanaryBytes};
  return {kSmallCanaryBytes, kSmallCanaryBytes};
}

// 0x7fff in every two bytes is NaN in fp32, bf16 and fp64, and 2147450879 as an index.
void fill_with_nan(uint8_t* block, uint64_t bytes) {
  constexpr uint16_t kNan = 0x7fff;
  for (uint64_t i = 0; i + 1 < bytes; i += 2) std::memcpy(block + i, &kNan, 2);
  if (bytes % 2 == 1) block[bytes - 1] = 0xff;
}

// The first byte of a canary that has changed, or `end`.
const uint8_t* first_changed(const uint8_t* begin, const uint8_t* end) {
  return std::find_if(begin, end, [](uint8_t byte) { return byte != kCanary; });
}

}  // namespace

uint64_t guarded_bytes(uint64_t bytes) {
  const Guards guards = guards_of(bytes);
  return guards.lead + bytes + guards.canary;
}

void* guard_block(void* memory, uint64_t bytes) noexcept {
  const auto [lead, canary] = guards_of(bytes);
  uint8_t* block = static_cast<uint8_t*>(memory) + lead;
  ASAN_UNPOISON_MEMORY_REGION(memory, guarded_bytes(bytes));
  std::memset(block - canary, kCanary, canary);
  fill_with_nan(block, bytes);
  std::memset(block + bytes, kCanary, canary);
  ASAN_POISON_MEMORY_REGION(memory, lead);
  ASAN_POISON_MEMORY_REGION(block + bytes, canary);
  return block;
}

void* retire_block(void* block, uint64_t bytes) noexcept {
  void* memory = static_cast<uint8_t*>(block) - guards_of(bytes).lead;
  fill_with_nan(static_cast<uint8_t*>(block), bytes);
  ASAN_POISON_MEMORY_REGION(memory, guarded_bytes(bytes));
  return memory;
}

std::optional<Damage> find_damage(const void* block, uint64_t bytes) noexcept {
  const uint64_t canary = guards_of(bytes).canary;
  const uint8_t* first = static_cast<const uint8_t*>(block);
  const uint8_t* end = first + bytes;
  std::optional<Damage> damage;
  ASAN_UNPOISON_MEMORY_REGION(first - canary, canary);
  ASAN_UNPOISON_MEMORY_REGION(end, canary);
  if (const uint8_t* wrong = first_changed(first - canary, first); wrong != first) {
    damage = Damage{bytes, wrong - first};
  } else if (const uint8_t* past = first_changed(end, end + canary); past != end + canary) {
    damage = Damage{bytes, past - first};
  }
  ASAN_POISON_MEMORY_REGION(first - canary, canary);
  ASAN_POISON_MEMORY_REGION(end, canary);
  return damage;
}

void forget_guards([[maybe_unused]] const void* memory, [[maybe_unused]] uint64_t bytes) noexcept {
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
}

}  // namespace remoe
