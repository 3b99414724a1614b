// Device memory: one reservation of address space, handed out upwards and never twice, so that an
// address identifies its block and use after free is detected.
#pragma once

#include <cstddef>

namespace remoe::emulator {

constexpr size_t kDeviceBytes = size_t{8} << 30;

// Whether the address lies in the reservation, used or not.
bool is_device_address(const void* address);

// Distance from the start of the reservation.
size_t device_offset(const void* address);

// Size of the reservation.
size_t device_address_space();

// Whether [address, address + bytes) lies in one open block.
bool is_open(const void* address, size_t bytes);

// Whether the address is backed by memory, whether or not a block is open there.
bool is_allocated(const void* address);

void open_block(void* address, size_t bytes);
void close_block(void* address);

}  // namespace remoe::emulator
