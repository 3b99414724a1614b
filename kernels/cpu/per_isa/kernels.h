// The hot functions, declared once for each instruction set they are compiled for.
//
// A kernel source (per_isa/*/*.cpp) defines its functions in namespace remoe::REMOE_TARGET and is
// compiled once for each target; the ABI wrappers (abi/*.cpp) check the arguments and call
// REMOE_DISPATCH. Helpers shared by kernel sources live in the target's namespace too, or are
// forced inline: a function compiled with AVX-512 must never be the copy that the linker keeps
// for a machine without.
#pragma once

#include <cstdint>

#include "per_isa/model/adamw.h"
#include "runtime/context.h"
#include "runtime/gemm.h"
#include "runtime/layout.h"
#include "runtime/tensor_table.h"

namespace remoe::baseline {
#include "per_isa/kernels_declare.inc"
}
#if defined(__x86_64__)
namespace remoe::avx2 {
#include "per_isa/kernels_declare.inc"
}
namespace remoe::avx512 {
#include "per_isa/kernels_declare.inc"
}
#endif

// function(context, arguments...) as compiled for the context's instruction set.
#if defined(__x86_64__)
#define REMOE_DISPATCH(context, function, ...)                          \
  ((context).isa == ::remoe::Isa::kAvx512                               \
       ? ::remoe::avx512::function((context)__VA_OPT__(, ) __VA_ARGS__) \
   : (context).isa == ::remoe::Isa::kAvx2                               \
       ? ::remoe::avx2::function((context)__VA_OPT__(, ) __VA_ARGS__)   \
       : ::remoe::baseline::function((context)__VA_OPT__(, ) __VA_ARGS__))
#else
#define REMOE_DISPATCH(context, function, ...) \
  ::remoe::baseline::function((context)__VA_OPT__(, ) __VA_ARGS__)
#endif
