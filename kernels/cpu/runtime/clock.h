#pragma once

namespace remoe {

// Seconds on the monotonic clock.
double seconds_now();

}  // namespace remoe
