// Gates and states of recurrent layers, row by row, in fixed point; all of it rounds half up. Needs finish_plain().
#pragma once

#include "round.h"

namespace qtool::QTOOL_ISA {

constexpr int32_t kUnitBits = 15;   // of pre-activations, gates and states
constexpr int32_t kHeldBits = 11;   // of the cell state of an lstm
constexpr int32_t kStepBits = 10;   // of a pre-activation between two entries of the table
constexpr int32_t kCurveBits = 30;  // of the curve between two entries
constexpr int64_t kLastPlace = (int64_t{512} << kStepBits) - 1;
constexpr int64_t kOne = int64_t{1} << kUnitBits;
constexpr int64_t kProductLimit = int64_t{1} << 30;
constexpr int64_t kHeldLimit = int64_t{1} << 15;

inline int64_t half_up_shift(int64_t value, int32_t bits) { return (value + (int64_t{1} << (bits - 1))) >> bits; }

// Sigmoid in units of 2**-30, by the chord between two entries.
inline int64_t curve(const int32_t* table, int64_t x) {
  const int64_t magnitude = x < 0 ? -x : x;
  const int64_t place = magnitude < kLastPlace ? magnitude : kLastPlace;
  const int64_t low = table[place >> kStepBits], high = table[(place >> kStepBits) + 1];
  const int64_t value = low * (1 << kStepBits) + (high - low) * (place & ((1 << kStepBits) - 1));
  return x < 0 ? (int64_t{1} << kCurveBits) - value : value;
}

inline int64_t sigmoid(const Recurrent& r, int64_t x) {
  return half_up_shift(curve(r.table, x), kCurveBits - kUnitBits);
}

inline int64_t hyperbolic(const Recurrent& r, int64_t x) {
  return half_up_shift(2 * curve(r.table, 2 * x) - (int64_t{1} << kCurveBits), kCurveBits - kUnitBits);
}

inline int64_t rescaled(const Rescale& r, size_t output, int32_t sum) {
  const int64_t product = static_cast<int64_t>(sum) * r.multiplier[output];
  const int64_t scaled = shifted(product, r.shift[output], Rounding::kHalfUp);
  return clamped<int64_t>(scaled, -kProductLimit, kProductLimit) + r.bias[output];
}

// Pre-activations of one row, of the input and of the state.
struct Row {
  const Recurrent& r;
  const int32_t* inputs;
  const int32_t* products;

  Row(const Recurrent& plan, const Moment& m, size_t row)
      : r(plan), inputs(m.inputs + row * r.gates * r.hidden), products(m.products + row * r.gates * r.hidden) {}

  int64_t input(size_t gate, size_t i) const {
    return rescaled(r.input, gate * r.hidden + i, inputs[gate * r.hidden + i]);
  }
  int64_t own(size_t gate, size_t i) const {
    return rescaled(r.state, gate * r.hidden + i, products[gate * r.hidden + i]);
  }
  int64_t both(size_t gate, size_t i) const { return input(gate, i) + own(gate, i); }
};

inline int64_t lstm_state(const Recurrent& r, const Row& row, size_t i, int32_t* held) {
  enum : size_t { kEnter, kLeave, kForget, kNew };
  const int64_t kept = sigmoid(r, row.both(kForget, i)) * *held * (1 << (kUnitBits - kHeldBits));
  const int64_t entering = sigmoid(r, row.both(kEnter, i)) * hyperbolic(r, row.both(kNew, i));
  const int64_t sum = half_up_shift(kept + entering, 2 * kUnitBits - kHeldBits);
  const int64_t now = clamped<int64_t>(sum, -kHeldLimit, kHeldLimit - 1);
  *held = static_cast<int32_t>(now);
  const int64_t shown = hyperbolic(r, now * (1 << (kUnitBits - kHeldBits)));
  return half_up_shift(sigmoid(r, row.both(kLeave, i)) * shown, kUnitBits);
}

inline int64_t gru_state(const Recurrent& r, const Row& row, size_t i, int64_t state) {
  enum : size_t { kUpdate, kReset, kNew };
  int64_t own = row.own(kNew, i);
  if (r.cell == Cell::kGruAfter) own = half_up_shift(sigmoid(r, row.both(kReset, i)) * own, kUnitBits);
  const int64_t fresh = hyperbolic(r, row.input(kNew, i) + own), update = sigmoid(r, row.both(kUpdate, i));
  return half_up_shift((kOne - update) * fresh + update * state, kUnitBits);
}

inline int64_t next_state(const Recurrent& r, const Row& row, size_t i, int64_t state, int32_t* held) {
  if (r.cell == Cell::kRnn) return hyperbolic(r, row.both(0, i));
  return r.cell == Cell::kLstm ? lstm_state(r, row, i, held) : gru_state(r, row, i, state);
}

inline void step(const Recurrent& r, const Moment& m, size_t begin, size_t end) {
  for (size_t at = begin; at < end; ++at) {
    const Row row(r, m, at);
    const size_t first = at * r.hidden;
    int32_t *state = m.state + first, *held = m.held + first;
    for (size_t i = 0; i < r.hidden; ++i) {
      state[i] = static_cast<int32_t>(next_state(r, row, i, state[i], held + i));
      const int64_t code = half_up_shift(static_cast<int64_t>(state[i]) * r.levels, kUnitBits);
      m.codes[first + i] = static_cast<uint8_t>(code + kStateZero);
    }
    finish_plain(*r.epilogue, 0, state, r.hidden, static_cast<uint8_t*>(m.out) + first * r.epilogue->element);
  }
}

inline void reset(const Recurrent& r, const Moment& m, size_t begin, size_t end) {
  for (size_t at = begin; at < end; ++at) {
    const Row row(r, m, at);
    for (size_t i = 0; i < r.hidden; ++i) {
      const size_t place = at * r.hidden + i;
      const int64_t scaled = sigmoid(r, row.both(1, i)) * m.state[place] * r.levels;
      m.codes[place] = static_cast<uint8_t>(half_up_shift(scaled, 2 * kUnitBits) + kStateZero);
    }
  }
}

}  // namespace qtool::QTOOL_ISA
