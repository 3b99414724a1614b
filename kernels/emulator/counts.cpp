#include "counts.h"

#include <dlfcn.h>

namespace remoe::emulator::counter {
namespace {

uint64_t offset_in_library(const void* address) {
  Dl_info module;
  if (address == nullptr || dladdr(address, &module) == 0) return 0;
  return static_cast<uint64_t>(static_cast<const char*>(address) -
                               static_cast<const char*>(module.dli_fbase));
}

std::string field(const char* name, uint64_t value) {
  return std::string("\"") + name + "\":" + std::to_string(value);
}

const char* name_of(Space space) {
  switch (space) {
    case Space::kGlobal:
      return "global";
    case Space::kShared:
      return "shared";
    default:
      return "matrices";
  }
}

std::string as_json(const Place& place, const SiteTotals& site) {
  return "{" + field("code", offset_in_library(place.caller)) + ",\"space\":\"" +
         name_of(place.space) + "\",\"write\":" + (place.is_write ? "true" : "false") + "," +
         field("width", place.bytes) + "," + field("accesses", site.accesses) + "," +
         field("laneBytes", site.lane_bytes) + "," + field("bytes", site.bytes) + "," +
         field("units", site.units) + "," + field("ideal", site.ideal) + "}";
}

std::string as_json(const void* kernel, const KernelTotals& totals) {
  std::string sites;
  for (const auto& [place, site] : totals.sites) {
    sites += (sites.empty() ? "" : ",") + as_json(place, site);
  }
  return "{" + field("code", offset_in_library(kernel)) + "," + field("launches", totals.launches) +
         "," + field("blocks", totals.blocks) + "," + field("operations", totals.operations) + "," +
         field("distinctRead", totals.distinct_read) + "," +
         field("distinctWritten", totals.distinct_written) + ",\"sites\":[" + sites + "]}";
}

}  // namespace

std::string as_json(const Counts& counts) {
  std::string kernels;
  for (const auto& [kernel, totals] : counts.kernels) {
    kernels += (kernels.empty() ? "" : ",") + as_json(kernel, totals);
  }
  return "{" + field("copied", counts.copied) + ",\"kernels\":[" + kernels + "]}";
}

}  // namespace remoe::emulator::counter
