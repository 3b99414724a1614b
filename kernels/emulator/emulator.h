// Runs the sources of kernels/cuda on a CPU, for tests: gpu.h includes this under a plain C++
// compiler, and kernels see the CUDA names they use.
//
// A thread of a block is a fiber with its own stack. One operating-system thread runs a block's
// fibers in turn, in an order the test chooses, and switches at barriers and warp collectives
// alone; blocks run one after another, streams either at once or, deferred, in random order as far
// as their events allow. What a GPU leaves undefined is made visible: shared and device memory
// start as NaN patterns, collectives check masks and call sites, and the checked build compares
// every access with CUDA's rules of ordering (race_checker.cpp).
//
// It cannot show speed, weak memory ordering, nor the rounding of fast intrinsics.
#pragma once

#include "kernel_language.h"
#include "launch.h"
#include "runtime_api.h"
