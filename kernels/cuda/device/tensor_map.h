// What the bulk tensor copies (TMA) know of a tensor in memory. A kernel takes maps by value, in
// parameters marked __grid_constant__.
#pragma once

#include "device/gpu.h"

#ifdef __CUDACC__
#include <cuda.h>  // types alone: the library does not link with the driver
#endif

namespace remoe::hopper {

using TensorMap = CUtensorMap;

}  // namespace remoe::hopper
