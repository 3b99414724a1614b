// gpu.h: the one header that device code includes. nvcc maps these names onto CUDA; a plain C++
// compiler maps them onto the emulator, which runs the very same sources on a CPU under checks.
//
// Rules that keep a source valid for both (docs of the emulator: kernels/emulator/emulator.h):
//   - launch with gpu::launch, never <<<>>>; shared memory is gpu::shared<T>(), one struct a kernel
//   - warp collectives name the full warp and stand where all its lanes arrive: guard the data
//   - lanes that talk through shared memory need __syncwarp, shuffles do not order memory
//   - no spinning on another block: blocks run one after another in the emulator
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__

#include <cuda_runtime.h>

namespace gpu {

// One untyped extern for every kernel: typed ones in templates would be conflicting declarations.
extern __shared__ __align__(128) unsigned char dynamic_shared_bytes[];

// The block's shared memory, seen as T. T may end in an array longer than declared.
template <class T>
__device__ __forceinline__ T& shared() {
  return *reinterpret_cast<T*>(dynamic_shared_bytes);
}

// Launches with each argument converted to the kernel's own parameter type. CUDA hands out at
// most 48 KiB of dynamic shared memory unless the kernel asks for more.
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

// The pool tells the emulator where blocks begin and end, and in which stream's order (null: at
// once); CUDA needs no telling.
inline void block_opened(void*, size_t, cudaStream_t) {}
inline void block_closed(void*, cudaStream_t) {}

constexpr bool kEmulated = false;

}  // namespace gpu

#else

#include "../emulator/emulator.h"

#endif
