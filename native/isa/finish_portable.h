// From sums to codes, a sum at a time.
#pragma once

#include "round.h"

namespace qtool::QTOOL_ISA {

// Writes codes or, under kReal, float32 values of a tile that begins at `channel`.
inline void finish(const Epilogue& e, const Correction& c, size_t channel, const Tile& t) {
  finish_tile_plain(e, c, channel, t);
}

}  // namespace qtool::QTOOL_ISA
