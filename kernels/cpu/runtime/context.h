// The environment of every function of the library: the context, its errors, its scratch memory.
//
// A context serves one chain of calls: two calls on the same context never overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "remoe.h"
#include "runtime/memory_pool.h"
#include "runtime/team.h"

namespace remoe {

// Instruction sets the hot code is compiled for; the best one is picked when a context opens.
// kAvx512Bf16 adds vdpbf16ps to kAvx512: only sources named *_bf16.cpp are compiled for it.
enum class Isa : int32_t { kBaseline = 0, kAvx2 = 1, kAvx512 = 2, kAvx512Bf16 = 3 };

// Thrown inside the library; guard() turns it into a status and a message.
struct Error {
  int32_t status;
  std::string message;
};

[[noreturn]] void fail(int32_t status, const char* format, ...)
    __attribute__((format(printf, 2, 3), cold));

// Throws Error unless `condition` holds. The message says what is wrong and why, without the name
// of the operation, which guard() prepends.
void require(bool condition, int32_t status, const char* format, ...)
    __attribute__((format(printf, 3, 4)));

// Throws unless value >= 1.
void require_size(int64_t value, const char* name);

// Throws unless `operation` belongs to an enum whose last value is `last`.
void require_operation(int32_t operation, int32_t last);

void require_aligned(uint64_t address, std::size_t alignment, const char* name);

// The pointer for an address that must not be 0.
template <class T>
T* require_address(uint64_t address, const char* name) {
  require(address != 0, REMOE_INVALID_ARGUMENT, "the address of %s is 0", name);
  require_aligned(address, alignof(T), name);
  return reinterpret_cast<T*>(address);
}

// The pointer for an address that may be 0 (nullptr if so).
template <class T>
T* optional_address(uint64_t address, const char* name) {
  require_aligned(address, alignof(T), name);
  return reinterpret_cast<T*>(address);
}

struct Event {
  bool recorded = false;
  double seconds = 0;  // seconds_now() when last recorded
};

// One thread's buffer for packed blocks of operands.
struct FreeBuffer {
  void operator()(float* buffer) const { std::free(buffer); }
};
using PackingBuffer = std::unique_ptr<float[], FreeBuffer>;

struct Context {
  Context(int threads_wanted, Isa isa, bool dense_by_onednn, PoolOptions options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Team team;
  int threads;  // of the team, which every loop is split for
  int threads_wanted;
  Isa isa;
  bool dense_by_onednn;    // whether gemm() goes to oneDNN
  MemoryPool pool;         // device memory, and the scratch of kernels
  MemoryPool pinned_pool;  // for remoe_pinned_allocate, counted separately
  std::string message;     // of the last failure, until it is read
  // Buffers of the blocked GEMM, one per thread, so that a product inside a parallel region neither
  // allocates nor shares.
  std::vector<PackingBuffer> packing;

  std::unordered_map<uint64_t, Event> events;
  std::vector<uint64_t> streams;
  uint64_t next_handle = 1;  // of streams and events
  bool capturing = false;
};

// Assigns a handle to an open context. Throws if too many are open.
uint64_t register_context(Context* context);

// The open context of a handle, or nullptr.
Context* find_context(uint64_t handle) noexcept;

// Removes a context from the table of handles and hands it to the caller to close; nullptr if none
// is open.
Context* take_context(uint64_t handle) noexcept;

// Sets the OpenMP threads of the calling thread to the context's.
void enter_context(Context& context) noexcept;

// To be called in a catch block: keeps "<operation>: <message>" and returns the status.
int32_t record_failure(Context& context, const char* operation) noexcept;

// The wrapper of every function of the ABI: finds the context, runs body(Context&), and turns
// whatever is thrown into a status.
template <class Body>
int32_t guard(uint64_t handle, const char* operation, Body&& body) noexcept {
  Context* context = find_context(handle);
  if (context == nullptr) return REMOE_INVALID_CONTEXT;
  try {
    enter_context(*context);
    body(*context);
    context->pool.report_damage();
    context->pinned_pool.report_damage();
    return REMOE_OK;
  } catch (...) {
    return record_failure(*context, operation);
  }
}

// `count` uninitialised, 64-byte aligned elements from the context's pool (nullptr if 0), freed
// when the scope ends. Create it before a parallel region, not inside: allocation may throw. While
// it lives, it counts towards the pool's bytes in use, and hence the peak.
template <class T>
class Scratch {
 public:
  Scratch(Context& context, std::size_t count)
      : pool_(context.pool),
        data_(count > 0 ? static_cast<T*>(pool_.allocate(count * sizeof(T))) : nullptr) {}
  ~Scratch() { pool_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() { return data_; }
  T& operator[](std::size_t i) { return data_[i]; }

 private:
  MemoryPool& pool_;
  T* data_;
};

}  // namespace remoe
