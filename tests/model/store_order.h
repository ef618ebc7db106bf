// Finds stores to one word that nothing orders.
//
// Relacy takes the order in which it runs two stores for the order in memory, so it never shows that the earlier one
// may win. Where a word has one writer at a time, each store must be ordered after the one before.
#pragma once

#include "relacy_api.h"

namespace rk::model {

class StoreOrder {
 public:
  explicit StoreOrder(bool enabled) : enabled_(enabled) {}

  void store(const rl::debug_info& where) {
    if (!enabled_) return;
    const auto& me = *rl::ctx().threadx_;
    RL_ASSERT_IMPL(me.acq_rel_order_[writer_] >= stored_, rl::test_result_data_race, "two stores that nothing orders",
                   where);
    writer_ = me.index_;
    stored_ = me.own_acq_rel_order_ + 1;  // the store itself is the next step
  }

 private:
  bool enabled_;
  rl::thread_id_t writer_ = 0;
  rl::timestamp_t stored_ = 0;
};

}  // namespace rk::model
