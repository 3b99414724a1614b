// Stacks, and switching between them.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace remoe::emulator {

// The point where a suspended flow of control resumes.
struct Suspended {
#if defined(__x86_64__) || defined(__aarch64__)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
#endif
};

// The stack of a fiber, with a guard page below it.
class Stack {
 public:
  Stack();
  ~Stack();
  Stack(Stack&& other) noexcept;
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  bool contains(const void* address) const {
    return static_cast<size_t>(static_cast<const unsigned char*>(address) - base_) < kBytes;
  }

  // Makes `suspended` start `entry` on this stack, discarding its contents. `entry` never returns.
  void prepare(Suspended& suspended, void (*entry)());

 private:
  static constexpr size_t kBytes = 128 * 1024;

  unsigned char* base_;
};

// Resumes `to`; returns when something switches back to `from`.
void switch_stack(Suspended& from, Suspended& to);

}  // namespace remoe::emulator
