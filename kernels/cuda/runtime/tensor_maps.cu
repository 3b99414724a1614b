#include "runtime/tensor_maps.h"

namespace remoe {
namespace {

using Encode = CUresult (*)(CUtensorMap*, CUtensorMapDataType, cuuint32_t, void*, const cuuint64_t*,
                            const cuuint64_t*, const cuuint32_t*, const cuuint32_t*,
                            CUtensorMapInterleave, CUtensorMapSwizzle, CUtensorMapL2promotion,
                            CUtensorMapFloatOOBfill);

constexpr unsigned kCudaVersion = 12000;  // that of this signature

Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  const cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &function, kCudaVersion, cudaEnableDefault, &found);
  return error == cudaSuccess ? reinterpret_cast<Encode>(function) : nullptr;
}

}  // namespace

hopper::TensorMap encode_tensor_map(const void* data, const TensorLayout& layout) {
  static const Encode encode = find_encode();
  if (encode == nullptr) fail(REMOE_INTERNAL, "the driver lacks cuTensorMapEncodeTiled");
  const auto type = layout.dtype == REMOE_F32 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                              : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const cuuint64_t size[3] = {layout.size[0], layout.size[1], layout.size[2]};
  const cuuint64_t stride[2] = {layout.stride[0], layout.stride[1]};
  const cuuint32_t step[3] = {1, 1, 1};
  hopper::TensorMap map;
  const CUresult result =
      encode(&map, type, 3, const_cast<void*>(data), size, stride, layout.box, step,
             CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    fail(REMOE_INTERNAL, "the driver refuses a tensor map of %llu x %llu x %llu (CUDA error %d)",
         static_cast<unsigned long long>(size[0]), static_cast<unsigned long long>(size[1]),
         static_cast<unsigned long long>(size[2]), static_cast<int>(result));
  }
  return map;
}

}  // namespace remoe
