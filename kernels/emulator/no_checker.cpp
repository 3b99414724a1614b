#include "checker.h"
#include "ordering.h"

namespace remoe::emulator::checker {

void launch_begins(const Launch&) {}
void launch_ends() {}
void block_opened(const void*, size_t) {}
void host_wrote(const void*, size_t) {}
void device_copied(const void*, const void*, size_t) {}
void atomic_access(const void*, size_t, const void*) {}
void check_global(const void*, size_t, Access, Site) {}

}  // namespace remoe::emulator::checker

namespace remoe::emulator::ordering {

void block_begins(int) {}
void start() {}
bool is_active() { return false; }
Known release(int) { return nullptr; }
void acquire(int, const Known&) {}
void join(Known&, const Known&) {}
void meet_lanes(int, unsigned) {}
void meet_block() {}
void fence(int) {}
Work begin_copy(int) { return {}; }
Work begin_product(int) { return {}; }
Known done(const Work&) { return nullptr; }
void access(const void*, size_t, checker::Access, Site) {}
void access(size_t, size_t, checker::Access, const void*) {}
void access(const Work&, const void*, size_t, checker::Access, bool, Site) {}

}  // namespace remoe::emulator::ordering
