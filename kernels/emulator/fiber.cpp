#include "fiber.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace remoe::emulator {
namespace {

constexpr size_t kGuardBytes = 4096 * 16;  // a multiple of any machine's page size

}  // namespace

#if defined(__x86_64__)

// swapcontext() makes a system call per switch, and a barrier of 256 threads is 256 switches. The
// System V convention requires a callee to preserve only six registers and the stack pointer.
extern "C" void remoe_switch_stack(void** from, void* to);
asm(R"(
.text
.globl remoe_switch_stack
.hidden remoe_switch_stack
.type remoe_switch_stack,@function
remoe_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size remoe_switch_stack,.-remoe_switch_stack
)");

void switch_stack(Suspended& from, Suspended& to) {
  remoe_switch_stack(&from.stack_pointer, to.stack_pointer);
}

void Stack::prepare(Suspended& suspended, void (*entry)()) {
  // As after a call: 16-byte aligned, then the return address of a function that has none.
  auto** top = reinterpret_cast<void**>(base_ + kBytes - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;  // the registers popped by the switch
  suspended.stack_pointer = top;
}

#else

void switch_stack(Suspended& from, Suspended& to) { swapcontext(&from.context, &to.context); }

void Stack::prepare(Suspended& suspended, void (*entry)()) {
  getcontext(&suspended.context);
  suspended.context.uc_stack.ss_sp = base_;
  suspended.context.uc_stack.ss_size = kBytes;
  suspended.context.uc_link = nullptr;
  makecontext(&suspended.context, entry, 0);
}

#endif

Stack::Stack() {
  void* memory = mmap(nullptr, kGuardBytes + kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuardBytes, PROT_NONE);
  base_ = static_cast<unsigned char*>(memory) + kGuardBytes;
}

Stack::~Stack() {
  if (base_ != nullptr) munmap(base_ - kGuardBytes, kGuardBytes + kBytes);
}

Stack::Stack(Stack&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}

}  // namespace remoe::emulator
