// A caching memory pool for blocks that recur in the same sizes every step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "runtime/memory_guard.h"

namespace remoe {

// Testing aids; by default a pool is unlimited and unguarded.
struct PoolOptions {
  uint64_t limit = UINT64_MAX;  // the most bytes held from the system
  bool guarded = false;         // canaries and NaN, see memory_guard.h
};

// Blocks of 2 MiB or more are mapped from the system individually, 2 MiB-aligned, with a request
// for huge pages: first touch was measured at 0.41 GB/s through 4 KiB pages and at 1.4 through huge
// pages. Smaller blocks are cut, 64-byte aligned, from slabs of their size class. Freed blocks stay
// in their class and return to the system only on trim() or destruction. If a class has no free
// block, a larger one serves.
class MemoryPool {
 public:
  explicit MemoryPool(PoolOptions options = {}) : options_(options) {}
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  // `bytes` uninitialised bytes. Throws Error with REMOE_OUT_OF_MEMORY.
  void* allocate(uint64_t bytes);

  // Frees one block allocated here. False, with nothing freed, if it is not live.
  bool release(const void* block) noexcept;

  // Frees all blocks, or none. Returns the index of the first address that is not a live block or
  // is listed twice, or -1 if all were freed.
  int64_t release_all(const uint64_t* addresses, int64_t count) noexcept;

  // Throws Error with REMOE_INTERNAL, once, if a guarded block was found damaged when it was freed.
  void report_damage() {
    if (damage_) [[unlikely]]
      fail_damaged();
  }

  // The same for live blocks.
  void check_live_blocks();

  // Returns cached blocks, and slabs without a live block, to the system.
  void trim() noexcept;

  uint64_t in_use() const { return in_use_; }  // as requested
  uint64_t peak() const { return peak_; }
  uint64_t held() const { return held_; }  // mapped from the system
  uint64_t live_blocks() const { return live_.size(); }
  void reset_peak() { peak_ = in_use_; }

 private:
  struct SizeClass {
    uint64_t block_bytes = 0;
    // Reserved for every block of the class, so that release() cannot throw.
    std::vector<void*> free;
    std::size_t blocks = 0;
  };
  struct Live {
    uint64_t asked;
    SizeClass* size_class;
    bool leaving = false;  // seen by the release_all() in progress
  };
  struct Mapping {
    uint64_t bytes;
    SizeClass* size_class;
    std::size_t free;  // scratch of trim()
  };

  // The class of `block_bytes`, or a larger one, with a free block. `asked` is for the error
  // message.
  SizeClass& class_with_block(uint64_t block_bytes, uint64_t asked);
  void refill(SizeClass& size_class, uint64_t asked);
  bool fits_limit(uint64_t bytes) const;
  // nullptr if the limit or the system has no room.
  void* map(uint64_t bytes) const;
  [[noreturn]] void fail_full(uint64_t asked, bool fits) const;
  [[noreturn]] void fail_damaged();

  const PoolOptions options_;
  std::optional<Damage> damage_;  // the first since the last report
  std::unordered_map<const void*, Live> live_;
  std::map<uint64_t, SizeClass> classes_;
  std::map<const void*, Mapping> mappings_;  // by first byte; a single block or a slab
  uint64_t in_use_ = 0;
  uint64_t peak_ = 0;
  uint64_t held_ = 0;
};

}  // namespace remoe
