#pragma once
#include <algorithm>

#include "flash_backward.h"
#define blockDim (hopper::Dim{256})
namespace hopper {
using ::Dim;
}
namespace remoe {
namespace {
constexpr int kSmall = 256;
inline int global_thread() { return static_cast<int>(blockIdx.x * kSmall + threadIdx.x); }
inline int encode_map(TensorMap* map, const void* data, int planes, int rows, int columns,
                      int pitch = 0, int box_rows = kSide) {
  const int64_t bytes = 2ll * (pitch ? pitch : columns);
  *map = {static_cast<const char*>(data),
          2,
          {columns, rows, planes},
          {bytes, bytes * rows},
          {kSide, box_rows, 1}};
  return 0;
}
inline int encode_halves(TensorMap* map, const void* data, int rows, int columns, int box_rows) {
  *map = {static_cast<const char*>(data),
          2,
          {columns, 2, rows},
          {2ll * columns, 4ll * columns},
          {kSide, 1, box_rows}};
  return 0;
}
inline int encode_gradient(TensorMap* map, const void* data, int planes, int rows, int columns) {
  *map = {static_cast<const char*>(data),
          4,
          {columns, rows, planes},
          {4ll * columns, 4ll * columns * rows},
          {kGradientSide, kWarpRows, 1}};
  return 0;
}
template <class S, class F>
int launch_body(int blocks, F f) {
  hopper::grid.x = blocks;
  auto* memory = static_cast<unsigned char*>(aligned_alloc(1024, (sizeof(S) + 1023) / 1024 * 1024));
  hopper::body = [&] { f(*reinterpret_cast<S*>(hopper::current->home->shared)); };
  for (int b = 0; b < blocks; b++) hopper::run_block(b, kThreads, sizeof(S), memory);
  free(memory);
  return 0;
}
template <class P>
int launch_product(int blocks, uint64_t, const Arguments& a, const Maps& maps) {
  return launch_body<Shared>(blocks, [&](Shared& s) { grouped_product_body<P>(s, a, maps); });
}
template <int kHead>
int launch_flash(int blocks, uint64_t, const FlashArguments& a, const TensorMap& q,
                 const TensorMap& k, const TensorMap& v) {
  return launch_body<FlashShared<kHead>>(
      blocks, [&](FlashShared<kHead>& s) { flash_body<kHead>(s, a, q, k, v); });
}
template <int kHead, bool kKeysStand>
int launch_backward(int blocks, uint64_t, const BackwardArguments& a, const BackwardMaps& maps) {
  return launch_body<BackwardShared<kHead>>(blocks, [&](BackwardShared<kHead>& s) {
    flash_backward_body<kHead, kKeysStand>(s, a, maps);
  });
}
template <class A>
int launch_small(void (*kernel)(A), int blocks, uint64_t, const A& a) {
  hopper::grid.x = blocks;
  auto* memory = static_cast<unsigned char*>(aligned_alloc(1024, 1024));
  hopper::body = [&] { kernel(a); };
  for (int b = 0; b < blocks; b++) hopper::run_block(b, kSmall, 1024, memory);
  free(memory);
  return 0;
}
// An address as Python has it.
template <class T>
T* at(uint64_t address) {
  return reinterpret_cast<T*>(address);
}

}  // namespace
}  // namespace remoe
#define EXPORT extern "C" __attribute__((visibility("default")))
