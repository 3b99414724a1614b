#include "launch.h"

EXPORT const char* tensor_cores_error(int code) {
  if (code < 0) return code <= -1000 ? "tensor map refused" : "no such variant";
  return cudaGetErrorString(static_cast<cudaError_t>(code));
}
EXPORT int tensor_cores_sync() { return cudaDeviceSynchronize(); }
EXPORT uint64_t tensor_cores_alloc(uint64_t bytes) {
  void* p = nullptr;
  return cudaMalloc(&p, bytes) == cudaSuccess ? reinterpret_cast<uint64_t>(p) : 0;
}
EXPORT int tensor_cores_put(uint64_t to, const void* from, uint64_t bytes) {
  return cudaMemcpy(reinterpret_cast<void*>(to), from, bytes, cudaMemcpyHostToDevice);
}
EXPORT int tensor_cores_get(void* to, uint64_t from, uint64_t bytes) {
  return cudaMemcpy(to, reinterpret_cast<void*>(from), bytes, cudaMemcpyDeviceToHost);
}
EXPORT int tensor_cores_free(uint64_t p) { return cudaFree(reinterpret_cast<void*>(p)); }
EXPORT int tensor_cores_fill(uint64_t to, int value, uint64_t bytes) {
  return cudaMemset(reinterpret_cast<void*>(to), value, bytes);
}
