// Prints what control groups grant: the folder that stands for "/" is the one argument.
#include "runtime/control_groups.h"

#include <cstdio>

int main(int, char** arguments) {
  const remoe::Grant grant = remoe::read_grant(arguments[1]);
  std::printf("%llu %g\n", static_cast<unsigned long long>(grant.memory_bytes), grant.cores);
}
