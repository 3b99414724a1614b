// Streams, events, capture. All work is done when a call returns, so there is nothing to order or
// wait for. Handles are checked nevertheless, so that a program that runs here also runs on a
// device.
#include <algorithm>

#include "runtime/clock.h"
#include "runtime/context.h"

using namespace remoe;

namespace {

void require_stream(const Context& context, uint64_t stream) {
  const auto& open = context.streams;
  require(stream == 0 || std::find(open.begin(), open.end(), stream) != open.end(),
          REMOE_INVALID_ARGUMENT, "%llu is not an open stream",
          static_cast<unsigned long long>(stream));
}

Event& require_event(Context& context, uint64_t event) {
  const auto found = context.events.find(event);
  require(found != context.events.end(), REMOE_INVALID_ARGUMENT, "%llu is not an open event",
          static_cast<unsigned long long>(event));
  return found->second;
}

void require_place(const uint64_t* place) {
  require(place != nullptr, REMOE_INVALID_ARGUMENT, "the pointer for the result is null");
}

}  // namespace

int32_t remoe_stream_create(uint64_t context, uint64_t* stream) {
  return guard(context, "stream_create", [&](Context& c) {
    require_place(stream);
    c.streams.push_back(c.next_handle);
    *stream = c.next_handle++;
  });
}

int32_t remoe_stream_destroy(uint64_t context, uint64_t stream) {
  return guard(context, "stream_destroy", [&](Context& c) {
    require(stream != 0, REMOE_INVALID_ARGUMENT, "stream 0 belongs to the context");
    require_stream(c, stream);
    std::erase(c.streams, stream);
  });
}

int32_t remoe_stream_use(uint64_t context, uint64_t stream) {
  return guard(context, "stream_use", [&](Context& c) { require_stream(c, stream); });
}

int32_t remoe_stream_synchronize(uint64_t context, uint64_t stream) {
  return guard(context, "stream_synchronize", [&](Context& c) { require_stream(c, stream); });
}

int32_t remoe_synchronize(uint64_t context) {
  return guard(context, "synchronize", [](Context&) {});
}

int32_t remoe_event_create(uint64_t context, uint64_t* event) {
  return guard(context, "event_create", [&](Context& c) {
    require_place(event);
    c.events.emplace(c.next_handle, Event{});
    *event = c.next_handle++;
  });
}

int32_t remoe_event_destroy(uint64_t context, uint64_t event) {
  return guard(context, "event_destroy", [&](Context& c) {
    require_event(c, event);
    c.events.erase(event);
  });
}

int32_t remoe_event_record(uint64_t context, uint64_t event) {
  return guard(context, "event_record",
               [&](Context& c) { require_event(c, event) = {true, seconds_now()}; });
}

int32_t remoe_event_wait(uint64_t context, uint64_t event) {
  return guard(context, "event_wait", [&](Context& c) { require_event(c, event); });
}

int32_t remoe_event_synchronize(uint64_t context, uint64_t event) {
  return guard(context, "event_synchronize", [&](Context& c) { require_event(c, event); });
}

int32_t remoe_event_elapsed(uint64_t context, uint64_t start, uint64_t end, double* seconds) {
  return guard(context, "event_elapsed", [&](Context& c) {
    require(seconds != nullptr, REMOE_INVALID_ARGUMENT, "the pointer for the seconds is null");
    const Event& first = require_event(c, start);
    const Event& last = require_event(c, end);
    require(first.recorded && last.recorded, REMOE_INVALID_ARGUMENT,
            "event %llu was never recorded",
            static_cast<unsigned long long>(first.recorded ? end : start));
    *seconds = last.seconds - first.seconds;
  });
}

int32_t remoe_capture_begin(uint64_t context) {
  return guard(context, "capture_begin", [](Context& c) {
    require(!c.capturing, REMOE_INVALID_ARGUMENT, "a capture has already begun");
    c.capturing = true;
  });
}

int32_t remoe_capture_end(uint64_t context, uint64_t* graph) {
  return guard(context, "capture_end", [&](Context& c) {
    require_place(graph);
    require(c.capturing, REMOE_INVALID_ARGUMENT, "no capture has begun");
    c.capturing = false;
    *graph = 0;
  });
}

int32_t remoe_graph_launch(uint64_t context, uint64_t graph) {
  return guard(context, "graph_launch", [&](Context&) {
    fail(REMOE_INVALID_ARGUMENT, "there is no graph %llu: the CPU runs calls immediately",
         static_cast<unsigned long long>(graph));
  });
}

int32_t remoe_graph_destroy(uint64_t context, uint64_t graph) {
  return guard(context, "graph_destroy", [&](Context&) {
    require(graph == 0, REMOE_INVALID_ARGUMENT, "there is no graph %llu",
            static_cast<unsigned long long>(graph));
  });
}
