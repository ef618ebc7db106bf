// A native handler that answers with what it got.
#include "ringkernel/native.h"

int32_t bench_echo(const rk_context* context, void* state, const rk_message* message) {
  (void)state;
  return context->reply(context, message->type_id, message->payload, message->payload_size, RK_NORMAL);
}
