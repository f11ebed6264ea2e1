// Bytes side by side, in plain C++: compilers turn the loops into whatever vectors the machine has.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace qtool::QTOOL_ISA {

struct Lanes {
  static constexpr size_t kBytes = 64;
  uint8_t byte[kBytes];

  static Lanes load(const uint8_t* from) {
    Lanes lanes;
    memcpy(lanes.byte, from, kBytes);
    return lanes;
  }

  void store(uint8_t* to) const { memcpy(to, byte, kBytes); }

  static Lanes zero() { return Lanes{}; }

  // Bits that cross into a neighbour are the caller's to mask.
  template <int kLeft>
  Lanes shifted() const {
    Lanes lanes;
    for (size_t i = 0; i < kBytes; ++i) {
      lanes.byte[i] = static_cast<uint8_t>(kLeft >= 0 ? byte[i] << (kLeft & 7) : byte[i] >> (-kLeft & 7));
    }
    return lanes;
  }

  Lanes masked(uint8_t mask) const {
    Lanes lanes;
    for (size_t i = 0; i < kBytes; ++i) lanes.byte[i] = byte[i] & mask;
    return lanes;
  }

  Lanes merged(const Lanes& other) const {
    Lanes lanes;
    for (size_t i = 0; i < kBytes; ++i) lanes.byte[i] = byte[i] | other.byte[i];
    return lanes;
  }

  Lanes less(uint8_t value) const {
    Lanes lanes;
    for (size_t i = 0; i < kBytes; ++i) lanes.byte[i] = static_cast<uint8_t>(byte[i] - value);
    return lanes;
  }
};

}  // namespace qtool::QTOOL_ISA
