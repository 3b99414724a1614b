// How one source file serves every instruction set.
//
// Each source in per_isa/ is compiled once per instruction set (a target). Its kernels live in
// namespace remoe::REMOE_TARGET, so that each target has its own. Below them, between #ifdef
// REMOE_ENTRY_POINTS and #endif, are the functions of remoe.h. They check the arguments and
// REMOE_DISPATCH to the kernel for the context's instruction set. Only the baseline target compiles
// that half.
//
// Helpers shared by kernel sources must also live in the target's namespace, or be forced inline:
// the linker must never keep a copy compiled with AVX-512 for a machine without it. A test reads
// the symbols of the objects.
#pragma once

#include <type_traits>

#include "runtime/context.h"

// REMOE_DECLARE(name, type) declares a kernel for every target, and REMOE_KERNEL(name) one that is
// defined above. REMOE_DISPATCH(context, name, arguments...) calls the version for the context's
// instruction set. The same with _BF16 for kernels in sources named *_bf16.cpp, which are also
// compiled for the target avx512_bf16.
#if defined(__x86_64__)
#define REMOE_DECLARE(name, ...)                 \
  REMOE_DECLARE_FOR(baseline, name, __VA_ARGS__) \
  REMOE_DECLARE_FOR(avx2, name, __VA_ARGS__)     \
  REMOE_DECLARE_FOR(avx512, name, __VA_ARGS__)
#define REMOE_DISPATCH(context, name, ...)                          \
  ((context).isa >= ::remoe::Isa::kAvx512                           \
       ? ::remoe::avx512::name((context)__VA_OPT__(, ) __VA_ARGS__) \
   : (context).isa == ::remoe::Isa::kAvx2                           \
       ? ::remoe::avx2::name((context)__VA_OPT__(, ) __VA_ARGS__)   \
       : ::remoe::baseline::name((context)__VA_OPT__(, ) __VA_ARGS__))
#define REMOE_DECLARE_BF16(name, ...) \
  REMOE_DECLARE(name, __VA_ARGS__)    \
  REMOE_DECLARE_FOR(avx512_bf16, name, __VA_ARGS__)
#define REMOE_DISPATCH_BF16(context, name, ...)                          \
  ((context).isa == ::remoe::Isa::kAvx512Bf16                            \
       ? ::remoe::avx512_bf16::name((context)__VA_OPT__(, ) __VA_ARGS__) \
       : REMOE_DISPATCH(context, name __VA_OPT__(, ) __VA_ARGS__))
#else
#define REMOE_DECLARE(name, ...) REMOE_DECLARE_FOR(baseline, name, __VA_ARGS__)
#define REMOE_DECLARE_BF16 REMOE_DECLARE
#define REMOE_DISPATCH(context, name, ...) \
  ::remoe::baseline::name((context)__VA_OPT__(, ) __VA_ARGS__)
#define REMOE_DISPATCH_BF16 REMOE_DISPATCH
#endif

#define REMOE_DECLARE_FOR(target, name, ...) \
  namespace remoe::target {                  \
  std::type_identity_t<__VA_ARGS__> name;    \
  }
#define REMOE_KERNEL(name) REMOE_DECLARE(name, decltype(::remoe::baseline::name))
#define REMOE_KERNEL_BF16(name) REMOE_DECLARE_BF16(name, decltype(::remoe::baseline::name))
