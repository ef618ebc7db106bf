// A message that a CUDA stream sends, when the work before it is done.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "kernel_box.h"

namespace rk::py {

// `stream`: what _streams.place_of() knows. The message waits for room for at most `timeout_ns` when its turn comes,
// and the stream with it; then it is a dead letter. False with an error set.
bool send_after(const KernelBox& box, PyObject* stream, const MessageHeader& header, const std::byte* payload,
                std::uint32_t instance, std::uint64_t timeout_ns);

// Frees what a thread of the driver was the last to have. Not on one of those.
void forget_stream_sends();

}  // namespace rk::py
