// Address space without memory behind it, given back when the library is unloaded: the checker
// alone takes terabytes of it, and a process that tries one mutant after the other would run out.
#pragma once

#include <sys/mman.h>

#include <cstddef>

namespace remoe::emulator {

class Reservation {
 public:
  explicit Reservation(size_t bytes) : bytes_(bytes) {
    void* base =
        mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    base_ = base == MAP_FAILED ? nullptr : base;
  }
  ~Reservation() {
    if (base_ != nullptr) munmap(base_, bytes_);
  }
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  // nullptr if there is no address space left.
  void* base() const { return base_; }

 private:
  void* base_;
  size_t bytes_;
};

}  // namespace remoe::emulator
