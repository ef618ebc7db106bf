/* The handlers of test_native_handlers.py, which compiles this file. */
#define _POSIX_C_SOURCE 200809L
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ringkernel/native.h"

/* The messages and the state of the test, field for field. */
enum { VERDICT = 7001, FACTS = 7002 };
struct number { uint64_t n; };
struct order { uint32_t target, kind, size, priority, no_payload, padding; uint64_t value; };
struct notice { uint32_t kind, retain, no_topic; char topic[1200]; };
struct verdict { int32_t code; uint32_t delivered; };
struct facts {
  uint32_t size, version, instance, payload_off, header_off, state_off, has_state, header_fits;
  int32_t gil;
  uint32_t padding;
  uint64_t time;
};
struct tally { uint64_t seen, total; };

enum { POISON = 0xDEAD };

atomic_int inside;    /* how many wait in meet() */
atomic_int let_go;    /* what wait_for_python() waits for */

/* Python's, when it runs with Python at all. */
__attribute__((weak)) int PyGILState_Check(void);

static uint64_t number_in(const rk_message* message) {
  struct number value;
  memcpy(&value, message->payload, sizeof value);
  return value.n;
}

static int32_t answer(const rk_context* context, uint32_t type_id, const void* payload, size_t size) {
  return context->reply(context, type_id, payload, (uint32_t)size, RK_NORMAL);
}

/* 0 when `word` reaches `value` in time. */
static int32_t wait_until(atomic_int* word, int value) {
  for (int i = 0; i < 60000; ++i) {
    if (atomic_load(word) >= value) return 0;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
  return 1;
}

int32_t echo(const rk_context* context, void* state, const rk_message* message) {
  (void)state;
  return answer(context, message->type_id, message->payload, message->payload_size);
}

/* Fails after it has changed its state. */
int32_t count(const rk_context* context, void* state, const rk_message* message) {
  struct tally* tally = state;
  const uint64_t n = number_in(message);
  tally->seen += 1;
  if (n == POISON) return 9;
  tally->total += n;
  return answer(context, message->type_id, &tally->total, sizeof tally->total);
}

int32_t fail(const rk_context* context, void* state, const rk_message* message) {
  (void)context, (void)state;
  return (int32_t)number_in(message);
}

/* Sends what the order says and replies what came of it. The payload is destroyed at once: it was to be copied. */
int32_t forward(const rk_context* context, void* state, const rk_message* message) {
  (void)state;
  struct order order;
  memcpy(&order, message->payload, sizeof order);
  const size_t room = order.size + sizeof order.value;
  unsigned char* payload = calloc(1, room);
  if (payload == NULL) return -1;
  memcpy(payload, &order.value, sizeof order.value);
  struct verdict verdict = {0, 0};
  verdict.code = context->send(context, order.target, order.kind, order.no_payload ? NULL : payload, order.size,
                               order.priority);
  memset(payload, 0xFF, room);
  free(payload);
  return answer(context, VERDICT, &verdict, sizeof verdict);
}

int32_t tell(const rk_context* context, void* state, const rk_message* message) {
  (void)state;
  struct notice notice;
  memcpy(&notice, message->payload, sizeof notice);
  const struct number value = {77};
  struct verdict verdict = {0, 99};
  verdict.code = context->publish(context, notice.no_topic ? NULL : notice.topic, notice.kind, &value, sizeof value,
                                  (int)notice.retain, &verdict.delivered);
  return answer(context, VERDICT, &verdict, sizeof verdict);
}

/* What a handler is given. */
int32_t describe(const rk_context* context, void* state, const rk_message* message) {
  uint32_t header[3];
  memcpy(header, message->header, sizeof header);
  struct facts facts = {0};
  facts.size = context->size;
  facts.version = context->version;
  facts.instance = context->instance;
  facts.payload_off = (uint32_t)((uintptr_t)message->payload % 8);
  facts.header_off = (uint32_t)((uintptr_t)message->header % 8);
  facts.state_off = (uint32_t)((uintptr_t)state % 64);
  facts.has_state = state != NULL;
  facts.header_fits = header[1] == message->type_id && header[2] == message->payload_size;
  facts.gil = PyGILState_Check ? PyGILState_Check() : 0;
  facts.time = context->now(context);
  return answer(context, FACTS, &facts, sizeof facts);
}

/* Returns when two instances are in here at the same time. */
int32_t meet(const rk_context* context, void* state, const rk_message* message) {
  atomic_fetch_add(&inside, 1);
  return wait_until(&inside, 2) != 0 ? 1 : echo(context, state, message);
}

int32_t wait_for_python(const rk_context* context, void* state, const rk_message* message) {
  return wait_until(&let_go, 1) != 0 ? 1 : echo(context, state, message);
}

/* Replies with fewer bytes than the type has. */
int32_t cut(const rk_context* context, void* state, const rk_message* message) {
  (void)state;
  return answer(context, message->type_id, message->payload, 4);
}

int32_t complain(const rk_context* context, void* state, const rk_message* message) {
  context->report_error(context, (uint32_t)number_in(message));
  return echo(context, state, message);
}

/* Replies whether the kernel is terminating: before it asks for that, and after. */
int32_t stop(const rk_context* context, void* state, const rk_message* message) {
  (void)state;
  uint64_t terminating = context->is_terminating(context) != 0 ? 1 : 0;
  context->request_termination(context);
  if (context->is_terminating(context) != 0) terminating += 2;
  return answer(context, message->type_id, &terminating, sizeof terminating);
}
