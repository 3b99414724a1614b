// gpu::launch and gpu::shared under emulation.
#pragma once

#include <memory>
#include <tuple>
#include <type_traits>

#include "kernel_language.h"
#include "runtime_api.h"

namespace remoe::emulator {

// A kernel and its arguments, copied at launch.
struct Launch {
  dim3 grid;
  dim3 block;
  size_t shared_bytes;
  std::shared_ptr<const void> call;
  size_t call_bytes;
  void (*run)(const void* call);
};

cudaError_t enqueue_launch(Launch launch, cudaStream_t stream);

unsigned char* shared_memory();
size_t shared_memory_bytes();

// A block of the pool becomes usable or unusable: immediately, or in the order of `stream` if
// given, since a freed block is handed out again while work on it is still in flight.
void block_opened(void* address, size_t bytes, cudaStream_t stream);
void block_closed(void* address, cudaStream_t stream);

}  // namespace remoe::emulator

namespace gpu {

constexpr bool kEmulated = true;

using remoe::emulator::block_closed;
using remoe::emulator::block_opened;

template <class T>
T& shared(remoe::emulator::Site site = remoe::emulator::Site()) {
  if (sizeof(T) > remoe::emulator::shared_memory_bytes()) {
    remoe::emulator::fault("the kernel's shared memory is larger than the launch requested", site);
  }
  return *reinterpret_cast<T*>(remoe::emulator::shared_memory());
}

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Arguments&&... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...), "arguments are copied as bytes");
  using Values = std::tuple<std::remove_cv_t<Parameters>...>;
  struct Call {
    void (*kernel)(Parameters...);
    Values values;
  };
  auto call = std::make_shared<Call>(Call{kernel, Values(static_cast<Parameters>(arguments)...)});
  const auto run = [](const void* bytes) {
    const Call& made = *static_cast<const Call*>(bytes);
    std::apply(made.kernel, made.values);
  };
  return remoe::emulator::enqueue_launch({grid, block, shared_bytes, call, sizeof(Call), run},
                                         stream);
}

}  // namespace gpu
