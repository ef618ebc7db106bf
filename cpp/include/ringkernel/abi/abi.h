// Everything that host, device and generators share. No pointers, no bool, no enum types, no size_t; little-endian.
#pragma once

#include "ringkernel/abi/address.h"
#include "ringkernel/abi/control_block.h"
#include "ringkernel/abi/hlc_timestamp.h"
#include "ringkernel/abi/message_header.h"
#include "ringkernel/abi/ring_geometry.h"
#include "ringkernel/abi/telemetry_block.h"
#include "ringkernel/abi/version.h"

// Each shared struct once: F(Struct, FIELD_LIST). The bindings make the NumPy dtypes from this table.
#define RK_ABI_STRUCTS(F)                        \
  F(HlcTimestamp, RK_HLC_TIMESTAMP_FIELDS)       \
  F(MessageHeader, RK_MESSAGE_HEADER_FIELDS)     \
  F(ControlBlock, RK_CONTROL_BLOCK_FIELDS)       \
  F(TelemetryBlock, RK_TELEMETRY_BLOCK_FIELDS)   \
  F(RingGeometry, RK_RING_GEOMETRY_FIELDS)
