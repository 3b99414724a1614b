// gpu.h: the only header that device code includes. nvcc maps these names onto CUDA; a plain C++
// compiler maps them onto the emulator, which runs the same sources on a CPU under checks.
//
// Rules that keep a source valid for both (the emulator is described in
// kernels/emulator/emulator.h):
//   - launch with gpu::launch, never <<<>>>; shared memory is gpu::shared<T>(), one struct per
//   kernel
//   - warp collectives name the full warp, at points all its lanes reach: guard the data instead
//   - lanes that communicate through shared memory need __syncwarp; shuffles do not order memory
//   - no spinning on another block: the emulator runs blocks one after another
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__

#include <cuda_runtime.h>

namespace gpu {

// One untyped extern for all kernels: typed ones in templates would be conflicting declarations.
// Swizzled copies count from multiples of 1024.
extern __shared__ __align__(1024) unsigned char dynamic_shared_bytes[];

// The block's shared memory, viewed as T. T may end in an array longer than declared.
template <class T>
__device__ __forceinline__ T& shared() {
  return *reinterpret_cast<T*>(dynamic_shared_bytes);
}

// Launches with each argument converted to the kernel's own parameter type. CUDA grants at most 48
// KiB of dynamic shared memory unless a kernel opts in to more.
template <class... Parameters, class... Arguments>
inline cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, Arguments&&... arguments) {
  if (shared_bytes > 48 * 1024) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

// The pool tells the emulator where blocks begin and end, and in the order of which stream (null:
// immediately). CUDA needs none of this.
inline void block_opened(void*, size_t, cudaStream_t) {}
inline void block_closed(void*, cudaStream_t) {}

constexpr bool kEmulated = false;

}  // namespace gpu

#else

#include "../../emulator/emulator.h"

#endif
