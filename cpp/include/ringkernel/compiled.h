/* What compiled handlers and the runtime know of each other: the bytecode machine, machine code made by a compiler at
   run time, and generated C. Compiles as C11 and as C++14, and needs no other file of ringkernel.

   A message lies in a slot: 64 bytes of header (MessageHeader in ringkernel/abi/message_header.h), then its payload,
   aligned to 8. Everything here belongs to the worker that runs the instance, but for `cancel`. */
#ifndef RINGKERNEL_COMPILED_H
#define RINGKERNEL_COMPILED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Part of the key of every cache of machine code. */
#define RK_COMPILED_VERSION 3u

/* Values of rk_call::failed and ::last_error. Below 0xFFFF0000: the user's, by ctx.report_error(). */
#define RK_ERROR_DIVISION_BY_ZERO 0xFFFF0001u
#define RK_ERROR_INDEX 0xFFFF0002u
#define RK_ERROR_RANGE_STEP 0xFFFF0003u
#define RK_ERROR_VEC_FULL 0xFFFF0004u
#define RK_ERROR_CLOCK_SKEW 0xFFFF0005u
#define RK_FAIL_ASSERTION 0xFFFF0101u
#define RK_FAIL_SEND_FULL 0xFFFF0102u
#define RK_FAIL_SEND_CLOSED 0xFFFF0103u
#define RK_FAIL_SEND_TOO_LARGE 0xFFFF0104u
#define RK_FAIL_SEND_UNDECLARED 0xFFFF0105u
#define RK_FAIL_SEND_FAILED 0xFFFF0106u
#define RK_FAIL_CANCELLED 0xFFFF0107u

#define RK_ANY_INSTANCE 0xFFFFFFFFu
#define RK_DEFAULT_PRIORITY 0xFFFFFFFFu

typedef struct rk_call rk_call;

/* What the runtime does for a handler. `reply` and `send` return 0, or set rk_call::failed to RK_FAIL_... and return
   it: the code that called returns then. Payloads are copied before the call returns. */
typedef struct rk_services {
  /* With the priority of the message in hand. */
  uint32_t (*reply)(rk_call*, uint32_t type_id, const void* payload, uint32_t size);
  /* instance: RK_ANY_INSTANCE, or an index; priority: RK_DEFAULT_PRIORITY, or 0 to 3 (more is 3); deadline: seconds
     from now, none when it is not > 0. */
  uint32_t (*send)(rk_call*, uint32_t target, uint32_t type_id, const void* payload, uint32_t size, uint32_t instance,
                   uint32_t priority, double deadline);
  uint32_t (*publish)(rk_call*, uint32_t topic, uint32_t type_id, const void* payload, uint32_t size, uint32_t retain);
  uint64_t (*now)(rk_call*);
  uint64_t (*tick)(rk_call*);
  uint32_t (*update_clock)(rk_call*, uint64_t time); /* 0: refused */
  uint64_t (*pending)(rk_call*);
  uint64_t (*free_slots)(rk_call*, uint32_t target);
  void (*request_termination)(rk_call*);
  uint32_t (*is_terminating)(rk_call*);
} rk_services;

/* Memory that the message in hand refers to; nobody takes it away while the message is handled. */
typedef struct rk_range {
  uint64_t begin; /* address */
  uint64_t bytes;
} rk_range;

/* One for each instance. */
struct rk_call {
  const rk_services* services; /*  0 */
  void* self;                  /*  8  the runtime's */
  uint8_t* state;              /* 16  aligned to 64; NULL when there is none */
  uint8_t* frame;              /* 24  Program.frame_size bytes, aligned to 64: Root.FRAME */
  uint8_t* shared;             /* 32  Program.shared_size bytes, aligned to 64: Root.SHARED; the entry zeroes it */
  uint8_t* message;            /* 40  room for the largest payload, aligned to 64: copies for writes_message */
  const uint8_t* slot;         /* 48  of the message in hand; the run function sets it before each */
  const uint64_t* cancel; /* 56  polled (relaxed) on back edges; equal to task: failed = RK_FAIL_CANCELLED, return */
  uint32_t failed;        /* 64  0, or why the message in hand failed */
  uint32_t fail_line;     /* 68  of the handler's file */
  uint32_t errors;        /* 72  how many were counted since the runtime cleared it */
  uint32_t last_error;    /* 76 */
  uint32_t error_line;    /* 80 */
  uint32_t instance;      /* 84 */
  uint32_t kernel;        /* 88 */
  uint32_t leave;         /* 92  set by services: the run ends after this message */
  uint64_t task;          /* 96  not 0, and another one for each call of a run function */
  const rk_range* ranges; /* 104 of the message in hand: one that refers to buffers is run alone */
  uint32_t range_count;   /* 112 */
  uint32_t reserved;      /* 116 */
};

/* Handles up to `count` messages of one class, which lie `stride` bytes apart from `first` on, in their order. Ends
   after a message that failed, or that left `leave` or `errors` not 0. Returns how many were handled, that one
   included. `program`: what the engine wants; NULL for machine code. */
typedef uint32_t (*rk_run)(const void* program, rk_call* call, const uint8_t* first, uint64_t stride, uint32_t count);

#ifdef __cplusplus
} /* extern "C" */
#define RK_COMPILED_ASSERT(condition) static_assert(condition, #condition ": bump RK_COMPILED_VERSION")
#else
#define RK_COMPILED_ASSERT(condition) _Static_assert(condition, #condition ": bump RK_COMPILED_VERSION")
#endif

RK_COMPILED_ASSERT(sizeof(rk_services) == 80);
RK_COMPILED_ASSERT(offsetof(rk_call, state) == 16 && offsetof(rk_call, frame) == 24);
RK_COMPILED_ASSERT(offsetof(rk_call, shared) == 32 && offsetof(rk_call, message) == 40);
RK_COMPILED_ASSERT(offsetof(rk_call, slot) == 48 && offsetof(rk_call, cancel) == 56);
RK_COMPILED_ASSERT(offsetof(rk_call, failed) == 64 && offsetof(rk_call, fail_line) == 68);
RK_COMPILED_ASSERT(offsetof(rk_call, errors) == 72 && offsetof(rk_call, last_error) == 76);
RK_COMPILED_ASSERT(offsetof(rk_call, error_line) == 80 && offsetof(rk_call, instance) == 84);
RK_COMPILED_ASSERT(offsetof(rk_call, kernel) == 88 && offsetof(rk_call, leave) == 92 && offsetof(rk_call, task) == 96 &&
                   offsetof(rk_call, ranges) == 104 && offsetof(rk_call, range_count) == 112 && sizeof(rk_call) == 120);

#undef RK_COMPILED_ASSERT

#endif /* RINGKERNEL_COMPILED_H */
