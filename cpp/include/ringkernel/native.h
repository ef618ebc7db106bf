/* Handlers in shared libraries: the C interface. Compiles as C11 and as C++14, and needs no other file of ringkernel.

   A handler is a function of type rk_handler. It runs on a worker thread without Python's interpreter lock, once for
   each message, and never twice at the same time for one instance:

     int32_t scale(const rk_context* context, void* state, const rk_message* message) {
       (void)state;
       double value;
       if (message->payload_size != sizeof value) return 1;
       memcpy(&value, message->payload, sizeof value);
       value *= 2;
       return context->reply(context, message->type_id, &value, sizeof value, RK_NORMAL);
     }

   What it is given is valid until it returns, and only on the thread that called it. No exception and no longjmp may
   leave it. */
#ifndef RINGKERNEL_NATIVE_H
#define RINGKERNEL_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* rk_context::version: increased when a field moves or changes its meaning. Fields may be appended at any time: one
   that is not in every release with your version is there if rk_context::size reaches beyond it. */
#define RK_NATIVE_VERSION 1u

/* What the functions of a context answer. Below 64 as rk::Status; more of them may come. */
enum {
  RK_OK = 0,
  RK_FULL = 1,       /* no room at the receiver, and the edge's overflow policy is to say so */
  RK_CLOSED = 3,     /* the receiver is terminating or gone */
  RK_TOO_LARGE = 5,  /* larger than the largest message of the receiver */
  RK_UNDECLARED = 6, /* `target` is no index in publishes_to */
  RK_INVALID = 64    /* the topic is malformed, or another argument cannot be */
};

/* Delivered first: the higher ones. */
enum { RK_LOW = 0, RK_NORMAL = 1, RK_HIGH = 2, RK_CRITICAL = 3 };

typedef struct rk_message {
  const void* header;    /* 64 bytes, aligned to 8: MessageHeader in ringkernel/abi/message_header.h */
  const void* payload;   /* aligned to 8; not NULL */
  uint32_t payload_size; /* bytes */
  uint32_t type_id;      /* as in the header */
} rk_message;

typedef struct rk_context rk_context;

/* What a handler can do meanwhile. Constant while it runs; each function takes the context that it was found in.
   Payloads are copied before the call returns. */
struct rk_context {
  uint32_t size;    /* bytes of this struct in the runtime that calls */
  uint32_t version; /* RK_NATIVE_VERSION of that runtime */
  void* self;       /* the runtime's */

  /* Answers the message in hand: its sender gets the payload, correlated with it. */
  int (*reply)(const rk_context*, uint32_t type_id, const void* payload, uint32_t size, uint32_t priority);
  /* Sends to the kernel that is number `target` in publishes_to. */
  int (*send)(const rk_context*, uint32_t target, uint32_t type_id, const void* payload, uint32_t size,
              uint32_t priority);
  /* To all subscribers of a topic: UTF-8, ends with a zero byte. `retain` not 0: kept for subscribers to come.
     `delivered`: how many got it now; may be NULL. */
  int (*publish)(const rk_context*, const char* topic, uint32_t type_id, const void* payload, uint32_t size, int retain,
                 uint32_t* delivered);
  /* Hybrid logical time: NTP64, 32.32 seconds since 1970. Stamps nothing. */
  uint64_t (*now)(const rk_context*);
  /* Handle what was sent, then stop. */
  void (*request_termination)(const rk_context*);
  int (*is_terminating)(const rk_context*);

  uint32_t instance; /* which of the kernel's instances this is, from 0 */
  uint32_t reserved; /* 0 */

  /* Counts an error and keeps its code as the last one. No failure: that is what the handler returns. */
  void (*report_error)(const rk_context*, uint32_t code);
};

/* `state`: the instance's own bytes, in the layout of its state class; NULL when it has none. Returns 0 when the
   message was handled; anything else is a failure with this code, as an exception is one of a Python handler. */
typedef int32_t (*rk_handler)(const rk_context* context, void* state, const rk_message* message);

#ifdef __cplusplus
} /* extern "C" */
#define RK_NATIVE_ASSERT(condition) static_assert(condition, #condition ": bump RK_NATIVE_VERSION")
#else
#define RK_NATIVE_ASSERT(condition) _Static_assert(condition, #condition ": bump RK_NATIVE_VERSION")
#endif

/* Frozen, for hosts with pointers of 64 bits; the runtime has no others. */
RK_NATIVE_ASSERT(offsetof(rk_message, header) == 0);
RK_NATIVE_ASSERT(offsetof(rk_message, payload) == 8);
RK_NATIVE_ASSERT(offsetof(rk_message, payload_size) == 16);
RK_NATIVE_ASSERT(offsetof(rk_message, type_id) == 20);
RK_NATIVE_ASSERT(sizeof(rk_message) == 24);
RK_NATIVE_ASSERT(offsetof(rk_context, size) == 0);
RK_NATIVE_ASSERT(offsetof(rk_context, version) == 4);
RK_NATIVE_ASSERT(offsetof(rk_context, self) == 8);
RK_NATIVE_ASSERT(offsetof(rk_context, reply) == 16);
RK_NATIVE_ASSERT(offsetof(rk_context, send) == 24);
RK_NATIVE_ASSERT(offsetof(rk_context, publish) == 32);
RK_NATIVE_ASSERT(offsetof(rk_context, now) == 40);
RK_NATIVE_ASSERT(offsetof(rk_context, request_termination) == 48);
RK_NATIVE_ASSERT(offsetof(rk_context, is_terminating) == 56);
RK_NATIVE_ASSERT(offsetof(rk_context, instance) == 64);
RK_NATIVE_ASSERT(offsetof(rk_context, reserved) == 68);
RK_NATIVE_ASSERT(offsetof(rk_context, report_error) == 72);
RK_NATIVE_ASSERT(sizeof(rk_context) == 80);

#undef RK_NATIVE_ASSERT

#endif /* RINGKERNEL_NATIVE_H */
