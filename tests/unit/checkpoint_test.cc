#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "ringkernel/core/crc32c.h"
#include "ringkernel/runtime/checkpoint.h"

namespace rk {
namespace {

using Bytes = std::vector<std::byte>;

LayoutInfo sum_layout() { return {"Sum", 16, {{"count", "u32", 0, 4}, {"total", "u64", 8, 8}}, 0x51}; }

MessageHeader header_of(u64 id, u32 payload_size) {
  MessageHeader header{};
  header.version = kMessageVersion;
  header.priority = kPriorityHigh;
  header.hops = 2;
  header.flags = kFlagWantsReply;
  header.type_id = 0xA1;
  header.payload_size = payload_size;
  header.message_id = id;
  header.correlation_id = 0x1122334455667788;
  header.source = 3;
  header.dest = 0xFEDCBA9876543210;
  header.hlc = ~u64{0};
  header.deadline = 1;
  return header;
}

Bytes pattern(std::size_t size, unsigned seed) {
  Bytes made(size);
  for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<std::byte>(i * 31 + seed);
  return made;
}

Checkpoint small() {
  Checkpoint c;
  c.kernel = "z\u00e4hler/\U0001F40C";
  c.instances = 2;
  c.hlc = 0x0102030405060708;
  c.node_id = 7;
  c.round_robin = 0xF00000000000000F;
  c.state_layout = sum_layout();
  c.message_layouts = {{"Add", 4, {{"amount", "i32", 0, 4}}, 0xA1}, {"Ping", 0, {}, 0xA2}};
  c.states = {pattern(16, 1), pattern(16, 2)};
  c.messages = {{1, header_of(10, 4), pattern(4, 3)}, {0, header_of(11, 0), {}}};
  return c;
}

std::string kind_of_refusal(const Bytes& bytes, std::string* text = nullptr) {
  try {
    decode(bytes);
  } catch (const Error& error) {
    if (text != nullptr) *text = error.what();
    return error.kind();
  }
  return "none";
}

u64 number_at(const Bytes& bytes, std::size_t at, std::size_t size) {
  u64 value = 0;
  for (std::size_t i = 0; i < size; ++i) value |= std::to_integer<u64>(bytes[at + i]) << (8 * i);
  return value;
}

void put(Bytes* bytes, std::size_t at, u64 value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) (*bytes)[at + i] = static_cast<std::byte>(value >> (8 * i));
}

std::vector<std::size_t> sections_of(const Bytes& bytes) {
  std::vector<std::size_t> starts;
  for (std::size_t at = 64; at < bytes.size(); at += 16 + number_at(bytes, at + 4, 8)) starts.push_back(at);
  return starts;
}

// Whoever can write the file can make every checksum right.
Bytes resealed(Bytes bytes) {
  const auto starts = sections_of(bytes);
  for (const std::size_t at : starts) {
    const u32 crc = crc32c(0, bytes.data() + at, 12);
    put(&bytes, at + 12, crc32c(crc, bytes.data() + at + 16, number_at(bytes, at + 4, 8)), 4);
  }
  put(&bytes, 16, bytes.size(), 8);
  put(&bytes, 24, starts.size(), 4);
  put(&bytes, 60, crc32c(0, bytes.data(), 60), 4);
  return bytes;
}

Bytes section(u32 kind, const Bytes& payload) {
  Bytes made(16);
  put(&made, 0, kind, 4);
  put(&made, 4, payload.size(), 8);
  for (const std::byte byte : payload) made.push_back(byte);  // g++ 12 takes insert() for an overflow
  return made;
}

Bytes of_version(u16 major, u16 minor, Bytes bytes) {
  put(&bytes, 8, major, 2);
  put(&bytes, 10, minor, 2);
  return resealed(bytes);
}

TEST(Checkpoint, everything_comes_back) {
  const Checkpoint made = small();
  const Checkpoint c = decode(encode(made));
  EXPECT_EQ(c.version, kCheckpointVersion);
  EXPECT_EQ(c.kernel, made.kernel);
  EXPECT_EQ(c.instances, 2u);
  EXPECT_EQ(c.hlc, made.hlc);
  EXPECT_EQ(c.node_id, 7u);
  EXPECT_EQ(c.round_robin, made.round_robin);
  EXPECT_EQ(c.state_layout, made.state_layout);
  EXPECT_EQ(c.message_layouts, made.message_layouts);
  EXPECT_EQ(c.states, made.states);
  ASSERT_EQ(c.messages.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(c.messages[i].instance, made.messages[i].instance);
    EXPECT_EQ(c.messages[i].payload, made.messages[i].payload);
    EXPECT_EQ(std::memcmp(&c.messages[i].header, &made.messages[i].header, sizeof(MessageHeader)), 0);
  }
  EXPECT_EQ(encode(c), encode(made));
}

TEST(Checkpoint, a_kernel_without_name_state_or_messages_comes_back) {
  const Bytes bytes = encode(Checkpoint{});
  const Checkpoint c = decode(bytes);
  EXPECT_TRUE(c.state_layout.empty());
  EXPECT_TRUE(c.states.empty() && c.messages.empty() && c.message_layouts.empty() && c.kernel.empty());
  EXPECT_EQ(c.instances, 1u);
  EXPECT_EQ(encode(c), bytes);
}

TEST(Checkpoint, large_states_and_many_instances_come_back) {
  Checkpoint c = small();
  c.state_layout = {"Large", 3'000'001, {{"all", "Bytes[3000001]", 0, 3'000'001}}};
  c.states = {pattern(3'000'001, 5), pattern(3'000'001, 6)};
  EXPECT_EQ(decode(encode(c)).states, c.states);

  c.instances = 5000;
  c.state_layout = sum_layout();
  c.states.clear();
  c.messages.clear();
  for (u32 i = 0; i < c.instances; ++i) {
    c.states.push_back(pattern(16, i));
    c.messages.push_back({c.instances - 1 - i, header_of(i, i % 7), pattern(i % 7, i)});
  }
  const Checkpoint back = decode(encode(c));
  EXPECT_EQ(back.states, c.states);
  EXPECT_EQ(encode(back), encode(c));
}

// The bytes are a promise to files on disk: this list changes only together with the version.
TEST(Checkpoint, the_bytes_are_little_endian_and_where_the_table_says) {
  const Bytes bytes = encode(small());
  EXPECT_EQ(std::memcmp(bytes.data(), "RKCKPT\r\n", 8), 0);
  EXPECT_EQ(number_at(bytes, 8, 2), 1u);
  EXPECT_EQ(number_at(bytes, 10, 2), 0u);
  EXPECT_EQ(number_at(bytes, 12, 4), 64u);
  EXPECT_EQ(number_at(bytes, 16, 8), bytes.size());
  EXPECT_EQ(number_at(bytes, 24, 4), 4u);
  EXPECT_EQ(number_at(bytes, 32, 8), sum_layout().hash());
  EXPECT_EQ(number_at(bytes, 60, 4), crc32c(0, bytes.data(), 60));
  const auto starts = sections_of(bytes);
  ASSERT_EQ(starts.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(number_at(bytes, starts[i], 4), i + 1);
  const std::size_t name = small().kernel.size();
  EXPECT_EQ(number_at(bytes, 64 + 16, 4), name);
  EXPECT_EQ(number_at(bytes, 64 + 16 + 4 + name, 4), 2u) << "instances";
  EXPECT_EQ(number_at(bytes, 64 + 16 + 12 + name, 8), 0x0102030405060708u) << "hlc";
  EXPECT_EQ(resealed(bytes), bytes);
}

TEST(Checkpoint, every_flipped_bit_and_every_inverted_byte_is_refused) {
  const Bytes good = encode(small());
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (unsigned flip : {1u, 2u, 4u, 8u, 16u, 32u, 64u, 128u, 255u}) {
      Bytes bad = good;
      bad[i] ^= static_cast<std::byte>(flip);
      ASSERT_EQ(kind_of_refusal(bad), "CheckpointCorruptError") << "byte " << i << " xor " << flip;
    }
  }
}

TEST(Checkpoint, every_truncation_is_refused_even_with_its_checksums_mended) {
  const Bytes good = encode(small());
  for (std::size_t size = 0; size < good.size(); ++size) {
    Bytes bad(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    bad.shrink_to_fit();
    ASSERT_EQ(kind_of_refusal(bad), "CheckpointCorruptError") << size;
    if (size < 64) continue;
    put(&bad, 16, size, 8);
    put(&bad, 60, crc32c(0, bad.data(), 60), 4);
    ASSERT_EQ(kind_of_refusal(bad), "CheckpointCorruptError") << size;
  }
}

TEST(Checkpoint, a_longer_file_is_refused) {
  const Bytes good = encode(small());
  for (std::size_t more : {1u, 15u, 16u, 64u}) {
    Bytes bad = good;
    bad.resize(good.size() + more);
    EXPECT_EQ(kind_of_refusal(bad), "CheckpointCorruptError") << more;
    put(&bad, 16, bad.size(), 8);
    put(&bad, 60, crc32c(0, bad.data(), 60), 4);
    EXPECT_EQ(kind_of_refusal(bad), "CheckpointCorruptError") << more << " and the size mended";
  }
  Bytes twice = good;
  twice.insert(twice.end(), good.begin(), good.end());
  EXPECT_EQ(kind_of_refusal(twice), "CheckpointCorruptError");
}

TEST(Checkpoint, another_major_version_is_refused_by_name) {
  std::string text;
  EXPECT_EQ(kind_of_refusal(of_version(2, 3, encode(small())), &text), "CheckpointVersionError");
  EXPECT_NE(text.find("found snapshot format 2.3, need 1.x"), std::string::npos) << text;
  EXPECT_EQ(kind_of_refusal(of_version(0, 9, encode(small()))), "CheckpointVersionError");
  EXPECT_EQ(kind_of_refusal(of_version(0xFFFF, 0, encode(small()))), "CheckpointVersionError");

  Bytes other_body = of_version(2, 0, encode(small()));
  other_body.resize(70);  // what is behind the header of a later version is not ours to judge
  EXPECT_EQ(kind_of_refusal(other_body), "CheckpointVersionError");
}

TEST(Checkpoint, a_newer_minor_version_may_have_sections_and_header_fields_that_are_skipped) {
  const Bytes good = encode(small());
  const Bytes unknown = section(99, pattern(33, 1));
  for (const std::size_t at : sections_of(good)) {
    Bytes newer = good;
    newer.insert(newer.begin() + static_cast<std::ptrdiff_t>(at), unknown.begin(), unknown.end());
    put(&newer, 40, 0xABCDEF, 8);
    const Checkpoint c = decode(of_version(1, 5, newer));
    EXPECT_EQ(c.version, (1u << 16) | 5u);
    EXPECT_EQ(encode(c), good) << "and is written as the version that we know";
    EXPECT_EQ(kind_of_refusal(of_version(1, 0, newer)), "CheckpointCorruptError");
  }
  Bytes only_section = good;
  only_section.insert(only_section.end(), unknown.begin(), unknown.end());
  EXPECT_EQ(kind_of_refusal(resealed(only_section)), "CheckpointCorruptError") << "this version has no section 99";
  Bytes hurt = of_version(1, 5, only_section);
  hurt.back() ^= std::byte{1};
  EXPECT_EQ(kind_of_refusal(hurt), "CheckpointCorruptError") << "skipped, but not unchecked";
}

TEST(Checkpoint, sections_are_there_once_and_in_order) {
  const Bytes good = encode(small());
  const auto starts = sections_of(good);
  const auto part = [&](std::size_t i) {
    const auto end = i + 1 < starts.size() ? starts[i + 1] : good.size();
    return Bytes(good.begin() + static_cast<std::ptrdiff_t>(starts[i]),
                 good.begin() + static_cast<std::ptrdiff_t>(end));
  };
  const auto of_parts = [&](const std::vector<std::size_t>& parts) {
    Bytes made(good.begin(), good.begin() + 64);
    for (const std::size_t i : parts) {
      const Bytes more = part(i);
      made.insert(made.end(), more.begin(), more.end());
    }
    return resealed(made);
  };
  EXPECT_EQ(of_parts({0, 1, 2, 3}), good);
  for (const std::vector<std::size_t>& bad : std::vector<std::vector<std::size_t>>{{},
                                                                                   {0},
                                                                                   {1, 2, 3},
                                                                                   {0, 2, 3},
                                                                                   {0, 1, 3},
                                                                                   {0, 1, 2},
                                                                                   {1, 0, 2, 3},
                                                                                   {0, 1, 3, 2},
                                                                                   {0, 0, 1, 2, 3},
                                                                                   {0, 1, 2, 3, 3}}) {
    EXPECT_EQ(kind_of_refusal(of_parts(bad)), "CheckpointCorruptError") << testing::PrintToString(bad);
  }
}

// With checksums mended, each 32-bit word of each section in turn claims to be huge. ASan sees what is read outside.
// The lengths in the heads of sections cannot be mended: they say where the sections are.
TEST(Checkpoint, hostile_lengths_and_counts_neither_read_outside_nor_allocate) {
  const Bytes good = encode(small());
  const auto starts = sections_of(good);
  for (std::size_t at = 64; at + 4 <= good.size(); ++at) {
    for (const u64 value : {u64{0}, u64{0x7FFFFFFF}, u64{0xFFFFFFFF}, u64{0xFFFFFFF0}}) {
      Bytes bad = good;
      const bool in_head = std::any_of(starts.begin(), starts.end(), [&](auto s) { return at + 4 > s && at < s + 16; });
      put(&bad, at, value, 4);
      if (!in_head) bad = resealed(bad);
      try {
        const Checkpoint c = decode(bad);
        ASSERT_EQ(encode(c), bad) << "accepted, so it was a value and no length: " << at;
      } catch (const Error& error) {
        ASSERT_STREQ(error.kind(), "CheckpointCorruptError") << at;
      }
    }
  }
}

TEST(Checkpoint, what_is_not_consistent_is_neither_written_nor_read) {
  const auto refused = [](void (*spoil)(Checkpoint*)) {
    Checkpoint c = small();
    spoil(&c);
    try {
      encode(c);
    } catch (const Error& error) {
      return std::string(error.kind());
    }
    return std::string("none");
  };
  EXPECT_EQ(refused([](Checkpoint*) {}), "none");
  const std::vector<void (*)(Checkpoint*)> spoilers = {
      [](Checkpoint* c) { c->instances = 0; },
      [](Checkpoint* c) { c->instances = 3; },
      [](Checkpoint* c) { c->states.pop_back(); },
      [](Checkpoint* c) { c->states[1].pop_back(); },
      [](Checkpoint* c) { c->state_layout = {}; },
      [](Checkpoint* c) { c->state_layout.fields[1].offset = 9; },
      [](Checkpoint* c) { c->state_layout.fields[1].offset = 0xFFFFFFFF; },
      [](Checkpoint* c) { c->message_layouts[1].type_id = 0xA1; },
      [](Checkpoint* c) { c->messages[0].instance = 2; },
      [](Checkpoint* c) { c->messages[0].payload.pop_back(); },
      [](Checkpoint* c) { c->messages[0].header.priority = kPriorityCount; },
      [](Checkpoint* c) { c->messages[0].header.version = 0; },
      [](Checkpoint* c) { c->messages[0].header.flags = 0x80; },
      [](Checkpoint* c) { c->kernel = "\xC0\x80"; },          // overlong
      [](Checkpoint* c) { c->kernel = "\xED\xA0\x80"; },      // a surrogate
      [](Checkpoint* c) { c->kernel = "\xF4\x90\x80\x80"; },  // above U+10FFFF
      [](Checkpoint* c) { c->kernel = "a\xE2\x82"; },         // cut off
      [](Checkpoint* c) { c->state_layout.fields[0].name = "\xFF"; },
      [](Checkpoint* c) { c->message_layouts[0].class_name = "\xE0\x80\x80"; },
  };
  for (std::size_t i = 0; i < spoilers.size(); ++i) EXPECT_EQ(refused(spoilers[i]), "InvalidArgumentError") << i;
}

TEST(Checkpoint, what_would_not_be_written_is_not_read_although_its_checksums_are_right) {
  const Bytes good = encode(small());
  const auto starts = sections_of(good);
  const auto spoiled = [&](std::size_t at, u64 value, std::size_t size) {
    Bytes bad = good;
    put(&bad, at, value, size);
    return kind_of_refusal(resealed(bad));
  };
  const std::size_t first_message = starts[3] + 16 + 4;
  EXPECT_EQ(spoiled(first_message, 1, 4), "none");
  EXPECT_EQ(spoiled(first_message, 2, 4), "CheckpointCorruptError") << "an instance that there is not";
  EXPECT_EQ(spoiled(first_message + 4 + 1, 3, 1), "none");
  EXPECT_EQ(spoiled(first_message + 4 + 1, 4, 1), "CheckpointCorruptError") << "a priority that would index outside";
  EXPECT_EQ(spoiled(64 + 16 + 4, 0xFF, 1), "CheckpointCorruptError") << "a name that is no text";
  EXPECT_EQ(spoiled(32, 1, 8), "CheckpointCorruptError") << "the hash of another layout";
  EXPECT_EQ(spoiled(12, 65, 4), "CheckpointCorruptError") << "a larger header";
  for (std::size_t at : {28u, 40u, 59u}) EXPECT_EQ(spoiled(at, 1, 1), "CheckpointCorruptError") << "reserved " << at;
}

TEST(Checkpoint, no_state_is_written_in_one_way_only) {
  Bytes bytes = encode(Checkpoint{});
  const auto last = static_cast<std::ptrdiff_t>(sections_of(bytes).back());
  const Bytes empty_state = section(3, Bytes(20));
  bytes.insert(bytes.begin() + last, empty_state.begin(), empty_state.end());
  EXPECT_EQ(kind_of_refusal(resealed(bytes)), "CheckpointCorruptError");
}

TEST(Checkpoint, errors_say_what_was_found_and_what_to_do) {
  std::string text;
  kind_of_refusal(Bytes(10), &text);
  EXPECT_EQ(text, "damaged snapshot: bytes: found 10, need 64; use another copy of it, or take a new snapshot");
  kind_of_refusal(pattern(100, 0), &text);
  EXPECT_NE(text.find("need 'RKCKPT'"), std::string::npos) << text;
  Bytes cut = encode(small());
  cut.pop_back();
  kind_of_refusal(cut, &text);
  EXPECT_NE(text.find("bytes: found " + std::to_string(cut.size())), std::string::npos) << text;
}

// -- layouts

TEST(CheckpointLayout, the_first_difference_names_the_field) {
  const LayoutInfo needed = sum_layout();
  const auto found = [&](std::vector<FieldInfo> fields, u32 size = 16) {
    return first_difference({"Sum", size, std::move(fields)}, needed);
  };
  const FieldInfo count{"count", "u32", 0, 4}, total{"total", "u64", 8, 8};
  EXPECT_EQ(found({count, total}), "");
  EXPECT_EQ(found({count, {"total", "f32", 8, 4}}), "field 'total': found f32 at 8, need u64 at 8");
  EXPECT_EQ(found({count, {"total", "u64", 16, 8}}, 24), "field 'total': found u64 at 16, need u64 at 8");
  EXPECT_EQ(found({{"count", "u32", 0, 2}, total}), "field 'count': found 2 bytes, need 4 bytes");
  EXPECT_EQ(found({count}), "field 'total': found none, need u64 at 8");
  EXPECT_EQ(found({total}), "field 'count': found none, need u32 at 0");
  EXPECT_EQ(found({}, 0), "field 'count': found none, need u32 at 0");
  EXPECT_EQ(found({count, {"sum", "u64", 8, 8}}), "field 'total': found none, need u64 at 8") << "renamed";
  EXPECT_EQ(found({count, {"step", "u32", 4, 4}, total}), "field 'step': found u32 at 4, need none");
  EXPECT_EQ(found({count, total, {"last", "u8", 16, 1}}, 24), "field 'last': found u8 at 16, need none");
  EXPECT_EQ(found({{"total", "u64", 0, 8}, {"count", "u32", 8, 4}}),
            "field 'count': found another order of fields, need it as number 1, u32 at 0");
  EXPECT_EQ(found({count, total}, 24), "size: found 24 bytes, need 16 bytes");
}

TEST(CheckpointLayout, the_hash_differs_where_the_layout_does_and_the_class_name_does_not_count) {
  const LayoutInfo base = sum_layout();
  LayoutInfo renamed = base;
  renamed.class_name = "Accumulated";
  renamed.type_id = 1;
  EXPECT_EQ(renamed.hash(), base.hash());
  EXPECT_EQ(first_difference(renamed, base), "");

  std::vector<LayoutInfo> others(9, base);
  others[0].size = 24;
  others[1].fields[0].name = "counts";
  others[2].fields[0].type = "i32";
  others[3].fields[0].offset = 4;
  others[4].fields[0].size = 2;
  std::swap(others[5].fields[0], others[5].fields[1]);
  others[6].fields.pop_back();
  others[7].fields[0].name = "countu";  // the same text when name and type are put together without their lengths
  others[7].fields[0].type = "32";
  others[8] = {};
  std::vector<u64> hashes = {base.hash()};
  for (const LayoutInfo& other : others) {
    EXPECT_NE(first_difference(other, base), "");
    EXPECT_NE(first_difference(base, other), "");
    hashes.push_back(other.hash());
  }
  std::sort(hashes.begin(), hashes.end());
  EXPECT_EQ(std::adjacent_find(hashes.begin(), hashes.end()), hashes.end());
}

// Computed by an independent program (see the comment at hash()): files of today are read by releases of tomorrow.
TEST(CheckpointLayout, the_hash_is_the_documented_one) {
  EXPECT_EQ(LayoutInfo{}.hash(), 0u);
  EXPECT_EQ(sum_layout().hash(), 0xF481043926816651);
}

}  // namespace
}  // namespace rk
