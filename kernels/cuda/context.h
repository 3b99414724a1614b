// What every function of the library works in: an open device, its streams and its memory.
//
// A context serves one chain of calls: two calls on the same context never overlap.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "errors.h"
#include "gpu.h"
#include "memory_pool.h"

namespace remoe {

struct Context {
  // Throws Error (REMOE_NO_DEVICE) where there is no such device, or no driver.
  explicit Context(int device_ordinal);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // Makes the context's device the calling thread's.
  void enter() noexcept { cudaSetDevice(ordinal); }

  // Throws Error for anything but cudaSuccess. An error that work enqueued earlier left behind
  // shows up in whatever call comes next, so it names the operations it can have come from.
  void check(cudaError_t error, const char* what);

  // Remembers that `operation` put work on the current stream.
  void note_enqueued(const char* operation);

  // Blocks the host until all work on `on` is done; throws what it failed with.
  void wait(cudaStream_t on);
  void wait_for_all();

  int ordinal;
  cudaStream_t first_stream = nullptr;
  cudaStream_t stream = nullptr;  // where later calls enqueue
  std::string message;            // of the last failure, until it is read
  std::unordered_set<cudaStream_t> streams;
  std::unordered_map<cudaEvent_t, bool> events;  // whether each has been recorded
  std::unordered_map<void*, size_t> pinned;      // page-locked host blocks, by address
  MemoryPool pool;

 private:
  struct Enqueued {
    cudaStream_t stream;
    const char* operation;
  };
  std::string suspects() const;

  std::vector<Enqueued> enqueued_;  // since the host last waited, oldest first
};

// The open context behind a handle, or nullptr.
Context* find_context(uint64_t handle) noexcept;

// Gives an open context its handle. Throws where too many are open.
uint64_t register_context(Context* context);

// Takes a context out of the table, for whoever closes it; nullptr where the handle names none.
Context* take_context(uint64_t handle) noexcept;

}  // namespace remoe
