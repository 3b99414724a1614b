// Prints what control groups grant. The only argument is the folder that stands for "/".
#include "runtime/control_groups.h"

#include <cstdio>

int main(int, char** arguments) {
  const remoe::Grant grant = remoe::read_grant(arguments[1]);
  std::printf("%llu %g\n", static_cast<unsigned long long>(grant.memory_bytes), grant.cores);
}
