#include "fiber.h"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace remoe::emulator {
namespace {

constexpr size_t kGuardBytes = 4096 * 16;  // a multiple of any machine's page size

}  // namespace

#if defined(__x86_64__) || defined(__aarch64__)

// swapcontext() makes a system call per switch, and a barrier of 256 threads is 256 switches.
extern "C" void remoe_switch_stack(void** from, void* to);

void switch_stack(Suspended& from, Suspended& to) {
  remoe_switch_stack(&from.stack_pointer, to.stack_pointer);
}

#endif

#if defined(__x86_64__)

// The System V convention requires a callee to preserve only six registers and the stack pointer.
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

void Stack::prepare(Suspended& suspended, void (*entry)()) {
  // As after a call: 16-byte aligned, then the return address of a function that has none.
  auto** top = reinterpret_cast<void**>(base_ + kBytes - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;  // the registers popped by the switch
  suspended.stack_pointer = top;
}

#elif defined(__aarch64__)

// A callee has to preserve x19 to x30, the last of which is where it returns to, and the lower
// halves of v8 to v15.
asm(R"(
.text
.globl remoe_switch_stack
.hidden remoe_switch_stack
.type remoe_switch_stack,@function
remoe_switch_stack:
  stp x29, x30, [sp, #-160]!
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  ldp x29, x30, [sp], #160
  ret
.size remoe_switch_stack,.-remoe_switch_stack
)");

void Stack::prepare(Suspended& suspended, void (*entry)()) {
  // The registers that the switch loads, x29 and x30 first; `entry` is returned to from nowhere.
  auto** top = reinterpret_cast<void**>(base_ + kBytes - 64);
  for (int i = 0; i < 20; i++) *--top = nullptr;
  top[1] = reinterpret_cast<void*>(entry);
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
