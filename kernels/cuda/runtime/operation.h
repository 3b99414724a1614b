// The wrapper of every C function of the library.
#pragma once

#include <new>
#include <utility>

#include "runtime/context.h"

namespace remoe {

// Keeps "<operation>: <message>" in the context and returns the status. Call in a catch block.
int32_t record_failure(Context& context, const char* operation) noexcept;

// One call of the C interface, inside a context.
struct Operation {
  Context& context;
  const char* name;

  // Enqueues a kernel on the current stream.
  template <class... Parameters, class... Arguments>
  void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
              Arguments&&... arguments) {
    if (context.pool.is_measuring()) return;
    check(gpu::launch(kernel, grid, block, shared_bytes, context.stream,
                      std::forward<Arguments>(arguments)...));
  }

  // Enqueues the filling of device memory with zeros.
  void clear(void* address, size_t bytes) {
    if (context.pool.is_measuring()) return;
    check(cudaMemsetAsync(address, 0, bytes, context.stream));
  }

  // Checks `error`, returned by a call that put work on the current stream.
  void check(cudaError_t error) {
    context.check(error, "the device rejected the work");
    context.note_enqueued(name);
  }

  // How kernels report an index in the data that is not below `bound` (index_errors.h).
  IndexCheck index_check(FailAtIndex fail_at, int32_t bound) {
    if (context.index_errors.is_full()) {
      context.wait_for_all();
      context.index_errors.clear();
      if (context.index_errors.is_full()) {
        fail(REMOE_UNSUPPORTED, "captured graphs check too many bounds: destroy some first");
      }
    }
    return context.index_errors.check(name, fail_at, bound);
  }
};

// Finds the context, runs body(Operation&), and turns whatever is thrown into a status.
template <class Body>
int32_t guard(uint64_t handle, const char* operation, Body&& body) noexcept {
  Context* context = find_context(handle);
  if (context == nullptr) return REMOE_INVALID_CONTEXT;
  try {
    context->enter();
    Operation op{*context, operation};
    body(op);
    return REMOE_OK;
  } catch (...) {
    return record_failure(*context, operation);
  }
}

// `count` uninitialised elements of device memory for the kernels of one call. Freed when the scope
// ends, with the kernels still in flight: the pool reuses it in stream order.
template <class T>
class Scratch {
 public:
  Scratch(Operation& op, size_t count)
      : context_(op.context),
        data_(static_cast<T*>(op.context.pool.allocate(count * sizeof(T), op.context.stream))) {}
  ~Scratch() { context_.pool.release(data_, context_.stream); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  T* data() const { return data_; }

 private:
  Context& context_;
  T* data_;
};

// Blocks of `threads` for one thread per element, at most `limit`: kernels stride over the rest.
inline unsigned grid_blocks(uint64_t elements, unsigned threads, unsigned limit) {
  const uint64_t blocks = (elements + threads - 1) / threads;
  return blocks < limit ? static_cast<unsigned>(blocks) : limit;
}

}  // namespace remoe
