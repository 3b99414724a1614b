// What the running block has under way besides its threads: copies, and threads that wait for them.
#pragma once

#include <functional>
#include <string>

#include "kernel_language.h"
#include "ordering.h"

namespace remoe::emulator {

// Puts work under way, to be finished at a time that the order chooses.
void start(std::function<void()> finish);

// Finishes one piece of work. Returns false if none is under way.
bool finish_one();

// Called at every switch between threads: finishes some work, if the order wants it.
void advance();

// Whether work that may be done early is to be: always, never, or by chance.
bool is_early();

// Suspends the current thread until `ready` holds, which is asked again after each wake(what).
void wait_on(const void* what, Site site, const std::function<bool()>& ready);
void wake(const void* what);

// Offset in shared memory of `bytes` at `p`; a fault if they lie elsewhere or are not aligned.
uint32_t shared_place(const void* p, size_t bytes, size_t alignment, const char* what, Site site);

// A fault unless [p, p + bytes) is device memory in use.
void require_global(const void* p, size_t bytes, const char* what, Site site);

// A fault if the device poses as one without Hopper's instructions.
void require_hopper(Site site);

// Ends the launch, also where no thread is running.
void fail_block(std::string text);

// The state of each instruction's file, at the start of a block and at the end of a thread.
void asynchronous_block_begins(int threads);
void asynchronous_thread_ends();
void barriers_begin();
void copies_begin(int threads);
void copies_thread_ends(int thread);
void wgmma_begins(int threads);
void wgmma_thread_ends(int thread);

// A fault unless the thread that initialised an mbarrier has shown it to copies since.
void require_shown(const void* barrier, Site site);

// Work of which `known` tells arrives at an mbarrier: `bytes` of what it expects have come, or one
// arrival.
void complete_bytes(const void* barrier, int64_t bytes, const ordering::Known& known, Site site);
void complete_arrival(const void* barrier, const ordering::Known& known, Site site);

}  // namespace remoe::emulator
