// The path that matrix products of bf16 take, chosen when a context opens.
#pragma once

namespace remoe {

enum class GemmPath {
  kMma,             // the warps' tensor core instruction, which every device has
  kUncheckedWgmma,  // Hopper's warpgroups', before its first use
  kWgmma,
  kWrongWgmma,  // whose first products differed from those of mma: not used
};

// The best that a device has, of compute capability 9.0 or another, or the one that REMOE_CUDA_GEMM
// names: mma or wgmma. Throws Error if that is unknown, or the device lacks it.
GemmPath choose_gemm_path(bool is_hopper);

// For remoe_context_info: the path, and the unit that multiplies bf16.
const char* gemm_name(GemmPath path);
const char* bf16_unit(GemmPath path);

}  // namespace remoe
