// How a benchmark waits for a queue that is full or empty. A queue with blocking verbs waits by itself.
#pragma once

#include <string>

#include "support.h"

namespace rk::bench {

template <class Queue, class T>
void push(Queue& queue, const T& message, Spin spin = Spin::kBare) {
  if constexpr (requires { queue.push(message); }) {
    queue.push(message);
  } else {
    while (!queue.try_push(message)) {
      if (spin == Spin::kPause) pause();
    }
  }
}

template <class Queue, class Use>
void consume(Queue& queue, Use&& use, Spin spin = Spin::kBare) {
  if constexpr (requires { queue.consume(use); }) {
    queue.consume(use);
  } else {
    while (!queue.try_consume(use)) {
      if (spin == Spin::kPause) pause();
    }
  }
}

template <class Queue>
std::string name_of(Spin spin) {
  return Queue::name() + (spin == Spin::kPause ? " +pause" : "");
}

}  // namespace rk::bench
