// Launches on the device. `emulate/launch.h` has the same names for the host.
#pragma once
#ifdef REMOE_EMULATED
#include "emulate/launch.h"
#else

#include <algorithm>

#include "flash_backward.h"

namespace remoe {
namespace {

extern __shared__ __align__(1024) unsigned char raw_shared[];

// The swizzle counts from multiples of 1024, which is where dynamic shared memory begins in a
// kernel that has no other.
template <class S>
__device__ __forceinline__ S& shared_as() {
  if ((shared_address(raw_shared) & 1023) != 0) __trap();
  return *reinterpret_cast<S*>(raw_shared);
}

template <class P>
__global__ void __launch_bounds__(kThreads, 1)
    grouped_product(const __grid_constant__ Arguments a, const __grid_constant__ Maps maps) {
  grouped_product_body<P>(shared_as<Shared>(), a, maps);
}

template <int kHead>
__global__ void __launch_bounds__(kThreads, 1)
    flash_forward(const __grid_constant__ FlashArguments a, const __grid_constant__ TensorMap q,
                  const __grid_constant__ TensorMap k, const __grid_constant__ TensorMap v) {
  flash_body<kHead>(shared_as<FlashShared<kHead> >(), a, q, k, v);
}

template <int kHead, bool kKeysStand>
__global__ void __launch_bounds__(kThreads, 1)
    flash_backward(const __grid_constant__ BackwardArguments a,
                   const __grid_constant__ BackwardMaps maps) {
  flash_backward_body<kHead, kKeysStand>(shared_as<BackwardShared<kHead> >(), a, maps);
}

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                            const cuuint64_t*, const cuuint32_t*, const cuuint32_t*,
                            CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                            CUtensorMapFloatOOBfill);

inline Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t e = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                                         cudaEnableDefault, &found);
  return e == cudaSuccess ? reinterpret_cast<Encode>(function) : nullptr;
}

// Sizes and box innermost first, strides of the outer two in bytes, ascending.
struct Layout {
  CUtensorMapDataType type;
  cuuint64_t size[3];
  cuuint64_t stride[2];
  cuuint32_t box[3];
};

inline int encode(TensorMap* map, const void* data, const Layout& l) {
  static const Encode encode = find_encode();
  if (encode == nullptr) return -2;
  const cuuint32_t step[3] = {1, 1, 1};
  const CUresult r = encode(map, l.type, 3, const_cast<void*>(data), l.size, l.stride, l.box, step,
                            CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                            CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return r == CUDA_SUCCESS ? 0 : -1000 - static_cast<int>(r);
}

// [planes, rows, columns], rows `pitch` elements apart, in boxes of 64 columns.
inline int encode_map(TensorMap* map, const void* data, int planes, int rows, int columns,
                      int pitch = 0, int box_rows = kSide) {
  const cuuint64_t row_bytes = 2ull * static_cast<cuuint64_t>(pitch != 0 ? pitch : columns);
  return encode(map, data,
                {CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                 {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows),
                  static_cast<cuuint64_t>(planes)},
                 {row_bytes, row_bytes * static_cast<cuuint64_t>(rows)},
                 {kSide, static_cast<cuuint32_t>(box_rows), 1}});
}

// [rows, 2 halves, columns], in boxes of 64 columns of one half.
inline int encode_halves(TensorMap* map, const void* data, int rows, int columns, int box_rows) {
  const cuuint64_t half_bytes = 2ull * static_cast<cuuint64_t>(columns);
  return encode(map, data,
                {CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                 {static_cast<cuuint64_t>(columns), 2, static_cast<cuuint64_t>(rows)},
                 {half_bytes, 2 * half_bytes},
                 {kSide, 1, static_cast<cuuint32_t>(box_rows)}});
}

// [planes, rows, columns] in fp32, in boxes of 32 columns and a warp's rows.
inline int encode_gradient(TensorMap* map, const void* data, int planes, int rows, int columns) {
  const cuuint64_t row_bytes = 4ull * static_cast<cuuint64_t>(columns);
  return encode(map, data,
                {CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
                 {static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows),
                  static_cast<cuuint64_t>(planes)},
                 {row_bytes, row_bytes * static_cast<cuuint64_t>(rows)},
                 {kGradientSide, kWarpRows, 1}});
}

template <class S, class Kernel, class... A>
int launch(Kernel kernel, int blocks, uint64_t stream, const A&... arguments) {
  static_assert(sizeof(S) <= 227 * 1024, "more shared memory than there is");
  const cudaError_t e = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             static_cast<int>(sizeof(S)));
  if (e != cudaSuccess) return e;
  kernel<<<blocks, kThreads, sizeof(S), reinterpret_cast<cudaStream_t>(stream)> > >(arguments...);
  return cudaGetLastError();
}

template <class P>
int launch_product(int blocks, uint64_t stream, const Arguments& a, const Maps& maps) {
  return launch<Shared>(grouped_product<P>, blocks, stream, a, maps);
}

template <int kHead>
int launch_flash(int blocks, uint64_t stream, const FlashArguments& a, const TensorMap& q,
                 const TensorMap& k, const TensorMap& v) {
  return launch<FlashShared<kHead> >(flash_forward<kHead>, blocks, stream, a, q, k, v);
}

template <int kHead, bool kKeysStand>
int launch_backward(int blocks, uint64_t stream, const BackwardArguments& a,
                    const BackwardMaps& maps) {
  return launch<BackwardShared<kHead> >(flash_backward<kHead, kKeysStand>, blocks, stream, a, maps);
}

constexpr int kSmall = 256;

__device__ __forceinline__ int global_thread() {
  return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

template <class A>
int launch_small(void (*kernel)(A), int blocks, uint64_t stream, const A& a) {
  kernel<<<blocks, kSmall, 0, reinterpret_cast<cudaStream_t>(stream)> > >(a);
  return cudaGetLastError();
}

// An address as Python has it.
template <class T>
T* at(uint64_t address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace
}  // namespace remoe

#define EXPORT extern "C" __attribute__((visibility("default")))

#endif  // REMOE_EMULATED
