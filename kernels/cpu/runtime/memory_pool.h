// A caching pool of memory, made for blocks that come back in the same sizes every step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/memory_guard.h"

namespace remoe {

// Aids for tests; by default a pool holds what the system gives, and guards nothing.
struct PoolOptions {
  uint64_t limit = UINT64_MAX;  // most bytes held from the system
  bool guarded = false;         // canaries and NaN, as memory_guard.h describes them
};

// Blocks of 2 MiB and more are mapped from the system one by one, 2 MiB-aligned, with huge pages
// asked for: first touch through 4 KiB pages was measured at 0.41 GB/s, through huge pages at 1.4.
// Smaller blocks are cut, 64-byte aligned, from slabs of their size class. Freed blocks wait in
// their class and never go back to the system before trim() or destruction; where a size has
// none, a larger free block serves.
class MemoryPool {
 public:
  explicit MemoryPool(PoolOptions options = {}) : options_(options) {}
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // `bytes` uninitialised bytes. Throws Error with REMOE_OUT_OF_MEMORY.
  void* allocate(uint64_t bytes);

  // Frees one block allocated here; false, and nothing freed, where it is not live.
  bool release(const void* block) noexcept;

  // Frees all blocks, or none: the number of the first address that is not a live block or comes
  // twice, -1 where all were freed.
  int64_t release_all(const uint64_t* addresses, int64_t count) noexcept;

  // Throws Error with REMOE_INTERNAL, once, where a guarded block turned out damaged when it was
  // freed.
  void report_damage() {
    if (damage_) [[unlikely]]
      fail_damaged();
  }

  // The same for what is live.
  void check_live_blocks();

  // Returns cached blocks, and slabs without a live block, to the system.
  void trim() noexcept;

  uint64_t in_use() const { return in_use_; }  // the sizes asked for
  uint64_t peak() const { return peak_; }
  uint64_t held() const { return held_; }  // mapped from the system
  uint64_t live_blocks() const { return live_.size(); }
  void reset_peak() { peak_ = in_use_; }

 private:
  struct SizeClass {
    uint64_t block_bytes = 0;
    // Always has room for every block of the class, so that release() cannot throw.
    std::vector<void*> free;
    std::size_t blocks = 0;
  };
  struct Live {
    uint64_t asked;
    SizeClass* size_class;
    bool leaving = false;  // seen by the release_all() at work
  };
  struct Mapping {
    uint64_t bytes;
    SizeClass* size_class;
    std::size_t free;  // scratch of trim()
  };

  // The class of `block_bytes`, or a larger one, with a free block. `asked` is for the message.
  SizeClass& class_with_block(uint64_t block_bytes, uint64_t asked);
  void refill(SizeClass& size_class, uint64_t asked);
  bool fits_limit(uint64_t bytes) const;
  // nullptr where neither the limit nor the system has room.
  void* map(uint64_t bytes) const;
  [[noreturn]] void fail_full(uint64_t asked, bool fits) const;
  [[noreturn]] void fail_damaged();

  const PoolOptions options_;
  std::optional<Damage> damage_;  // the first since the last report
  std::unordered_map<const void*, Live> live_;
  std::map<uint64_t, SizeClass> classes_;
  std::map<const void*, Mapping> mappings_;  // by first byte; one block, or a slab of several
  uint64_t in_use_ = 0;
  uint64_t peak_ = 0;
  uint64_t held_ = 0;
};

}  // namespace remoe
