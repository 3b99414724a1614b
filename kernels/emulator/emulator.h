// Runs the sources of kernels/cuda on a CPU, for tests: under a plain C++ compiler gpu.h includes
// this header, which provides the CUDA names that kernels use.
//
// Each thread of a block is a fiber with its own stack. One operating-system thread runs a block's
// fibers in turn, in an order the test chooses, and switches only at barriers and warp collectives.
// Blocks run one after another. Streams run immediately or, if deferred, in random order as far as
// their events allow. What a GPU leaves undefined is made visible: shared and device memory start
// as NaN patterns, collectives check masks and call sites, and the checked build checks every
// access against CUDA's ordering rules (race_checker.cpp).
//
// Hopper's asynchronous copies and products run early, late or in between, as the order says
// (hopper.h), and the checked build follows what its barriers order (ordering.h).
//
// The emulator cannot show speed, weak memory ordering, or the rounding of fast intrinsics.
#pragma once

#include "kernel_language.h"
#include "launch.h"
#include "runtime_api.h"
