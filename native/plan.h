// What the kernels work on: plain structs of pointers and sizes, prepared once for a layer.
//
// Activations are stored as unsigned bytes, or as unsigned words of 16 bits, a code less the lowest one of its
// format, with its zero point and its clamp moved alike. Arrays per channel carry kSlack entries behind the last
// channel, so that a vector may be loaded at any channel. Sums of bytes wrap modulo 2**32: whoever prepares a layer
// proves that the final value of every sum fits int32, and the detours on the way there need no proof.
#pragma once

#include <cstddef>
#include <cstdint>

namespace qtool {

constexpr size_t kSlack = 16;
constexpr size_t kColumns = 16;
constexpr size_t kDepth = 32;
constexpr size_t kSliceCodes = kColumns * kDepth;
constexpr size_t kLine = 64;
// What is stored for the code 0 of the state of a recurrent layer.
constexpr int32_t kStateZero = 128;

constexpr size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// How a sum becomes a code.
enum class Rule : int32_t {
  kSnap,        // float64: round(sum * factor, snapped), where that is proved to be round(sum * factor / divisor)
  kDivide,      // float64: round(sum * factor / divisor)
  kFixedPoint,  // int64: sum * multiplier / 2**shift, one rounding
  kGemmlowp,    // int64: doubling high product, then a rounding shift
  kFloat,       // float32: rint(sum * single)
  kReal,        // no code: float32 of sum * factor
  kSum,         // no code: the sum itself, as int32
};

enum class Rounding : int32_t { kHalfEven, kHalfUp, kHalfAway, kFloor };

struct Epilogue {
  Rule rule;
  Rounding rounding;
  bool narrow;                // rounded values fit int32 with room for the zero point, and every shift is 1 or more
  const double* factor;       // kSnap, kDivide, kReal
  const double* divisor;      // kDivide
  const int32_t* multiplier;  // kFixedPoint, kGemmlowp
  const int32_t* shift;
  const float* single;        // kFloat
  int32_t zero_point, lo, hi;
  size_t channels;
  size_t element;  // bytes of an output: 1 or 2 of a code, 4 of a float32 or of a sum
};

// sum + offset[channel] + slope[channel] * (sum of the activations of the row).
struct Correction {
  const int32_t* offset;
  const int32_t* slope;  // null where it is zero everywhere
};

// Sums of some rows and consecutive channels, and where their codes go. Sums are readable, and writable, up to the
// next multiple of 16 channels.
struct Tile {
  int32_t* sums;
  size_t stride;  // sums from row to row
  size_t rows, channels;
  const int32_t* row_sums;  // of the activations; null where no slope needs them
  void* out;
  size_t out_stride;  // elements from row to row
};

// Codes begin..end along k that share a multiplier for each channel, and the slices that they lie in.
struct Run {
  size_t begin, end, first_slice, slices;
};

// All runs of a matrix, in order. A sum over them, multiplied, fits int32.
struct Runs {
  const Run* run;
  size_t count;
  size_t slices;              // of all runs: one that two runs share counts twice
  bool whole_slices;          // no slice belongs to two runs
  const int32_t* multiplier;  // (blocks of columns, count, 16)
};

// One or more packed matrices (n, k) of equal shape, one for each group, in the GEMM order of 16 x 32 slices.
struct Gemm {
  const uint8_t* weights;
  int32_t bits;
  int32_t act_max;  // greatest stored activation
  size_t n, k, groups;
  Correction rows;    // for products with codes less 2**(bits - 1)
  Correction vector;  // for products of one row: codes as they are, activations less 128
  const Epilogue* epilogue;
  const Runs* runs = nullptr;  // null where a channel has one scale

  size_t slices() const { return round_up(k, kDepth) / kDepth; }
  size_t column_blocks() const { return round_up(n, kColumns) / kColumns; }
  size_t block_bytes() const { return slices() * static_cast<size_t>(bits) * kLine; }
  size_t group_bytes() const { return column_blocks() * block_bytes(); }
};

// Depth, height and width.
struct Extents {
  size_t d, h, w;

  size_t count() const { return d * h * w; }
};

// A window over images whose channels come last; images of fewer axes have a depth, or a height too, of 1.
struct Window {
  Extents image;
  size_t channels;
  Extents kernel, strides, dilations;
  Extents pads;  // in front
  Extents out;
  uint8_t pad_value;

  size_t taps() const { return kernel.count(); }
  size_t image_elements() const { return image.count() * channels; }
};

// Where the rows of the left matrix come from: memory itself, or windows.
struct Rows {
  const uint8_t* data;
  size_t stride;         // bytes from row to row where there is no window
  const Window* window;  // null for a plain matrix
  size_t first_channel;  // of the group
  size_t channels;       // of the group
};

// One filter for each channel.
struct Depthwise {
  const int16_t* taps;  // (taps / 2 rounded up, channels + kSlack, 2): pairs of taps, code less zero point
  const int32_t* offset;
  const Epilogue* epilogue;
};

struct AveragePool {
  const Epilogue* const* by_count;  // at the number of averaged elements; null where that cannot occur
  bool padding_counts;
  Extents end_pads;
  int32_t zero_point;
};

// weights[0] * parts[0] + weights[1] * parts[1] + ... + bias[channel], below 2**53: sums over codes of 16 bits, whose
// halves were summed up apart.
struct Combination {
  const double* weights;
  size_t parts;
  const double* bias;
  const Epilogue* epilogue;
};

// round((a - zero_a) * left + (b - zero_b) * right, brought to the scale of the output).
struct Sum {
  Rule rule;
  Rounding rounding;
  double left, right;      // kSnap, kDivide, kReal: whole numbers below 2**53 in total, or real scales
  double factor, divisor;  // kFloat uses left, right and divisor as float32
  int64_t left_multiplier, right_multiplier, multiplier;  // kGemmlowp
  int32_t left_shift, right_shift, shift;
  int32_t sign;    // of the second operand under kGemmlowp
  int32_t raised;  // bits by which operands are raised under kGemmlowp
  size_t element;  // bytes of an output
  int32_t zero_a, zero_b, zero_point, lo, hi;
};

struct Product {
  int32_t zero_a, zero_b;
  const Epilogue* epilogue;  // of equal channels
};

// Two operands and a result, row by row; a stride of 0 repeats the row.
struct Operands {
  const void* a;
  const void* b;
  size_t element;             // bytes of a code of either
  size_t a_stride, b_stride;  // elements
  size_t columns;
  void* out;
};

// Matrices (m, k) times (k, n) of codes, both computed.
struct MatMul {
  size_t m, k, n;
  int32_t left_max;  // greatest stored code
  int32_t zero_left, zero_right;
  const Epilogue* epilogue;  // of n channels
};

// Which matrices of two stacks are multiplied.
struct Pairing {
  const int32_t* left;
  const int32_t* right;
  size_t count;
};

// Softmax along rows: powers[d] for a code that lies d below the greatest of its row, 2**24 at d = 0.
struct Softmax {
  const int32_t* powers;
  int64_t reciprocal;  // 2**14 / scale of the output
  size_t length;
  int32_t zero_point, lo, hi;
};

// Which scores of a softmax count.
struct Mask {
  const uint8_t* kept = nullptr;  // rows as long as those of the scores, 0 for what is hidden; null where nothing is
  const int32_t* row = nullptr;   // of the mask, for each row of scores
};

// Normalization along rows, to 16 fractional bits, then gain and shift; sums of the epilogue stay below 2**53.
struct LayerNorm {
  size_t length;
  bool centred;
  int64_t epsilon;
  int32_t zero_point;
  const double* gains;
  const double* shifts;
  const Epilogue* epilogue;
};

// Brings sums to units of 2**-15 and adds a bias: one value of each for every output.
struct Rescale {
  const int32_t* multiplier;
  const int32_t* shift;
  const int64_t* bias;
};

enum class Cell : int32_t {
  kRnn,
  kLstm,
  kGruAfter,   // the reset gate scales the product of the state
  kGruBefore,  // the reset gate scales the state before its product
};

// A recurrent layer; passes/artifact/recurrent.py says what it computes.
struct Recurrent {
  Cell cell;
  size_t gates, hidden;
  Rescale input, state;   // of gates x hidden outputs
  const int32_t* table;   // sigmoid(k / 32) * 2**20 for k of 0..512
  int32_t levels;         // codes of the state are round(state * levels), stored with 128 added
  const Gemm* product;    // of codes of the state; the last gate of kGruBefore is apart
  const Gemm* last;       // null but for kGruBefore
  const Epilogue* epilogue;  // of `hidden` channels
};

// One time step of a batch: sums (rows, gates x hidden) of the input and of the state; the rest is (rows, hidden).
struct Moment {
  const int32_t* inputs;
  const int32_t* products;
  int32_t* state;  // units of 2**-15
  int32_t* held;   // cell state of an lstm, units of 2**-11
  uint8_t* codes;  // of the state
  void* out;
};

// Rectangle of a matrix product: rows and blocks of 16 columns.
struct Region {
  size_t row_begin, row_end, block_begin, block_end;
};

// The same functions, compiled for one instruction set. Scratch is 64-byte aligned.
struct Kernels {
  const char* name;
  size_t (*gemm_scratch)(const Gemm&, size_t rows);
  void (*gemm)(const Gemm&, size_t group, const Rows&, const Region&, void* scratch, void* out, size_t out_stride);
  void (*column_sums)(const uint8_t* weights, int32_t bits, size_t n, size_t k, const int32_t* zero, int64_t* sum,
                      int64_t* magnitude);
  size_t (*depthwise_scratch)(const Window&);
  void (*depthwise)(const Depthwise&, const Window&, const uint8_t* x, size_t begin, size_t end, void* scratch,
                    void* out);
  void (*max_pool)(const Window&, const void* x, size_t element, size_t begin, size_t end, void* out);
  bool (*counts_known)(const AveragePool&, const Window&);
  void (*average_pool)(const AveragePool&, const Window&, const void* x, size_t element, size_t begin, size_t end,
                       void* scratch, void* out);
  void (*sum)(const Sum&, const Operands&, size_t begin, size_t end);
  void (*product)(const Product&, const Operands&, size_t begin, size_t end);
  void (*combine)(const Combination&, const int32_t* const* parts, size_t begin, size_t end, void* scratch, void* out);
  size_t (*matmul_scratch)(const MatMul&, size_t rows);
  void (*matmul)(const MatMul&, const uint8_t* left, const uint8_t* right, size_t begin, size_t end, void* scratch,
                 void* out);
  // Elements of inputs and outputs of 1 or 2 bytes.
  void (*softmax)(const Softmax&, const Mask&, const void* x, size_t element, size_t begin, size_t end, void* scratch,
                  void* out, size_t out_element);
  void (*layer_norm)(const LayerNorm&, const void* x, size_t element, size_t begin, size_t end, void* scratch,
                     void* out);
  void (*copy)(const uint8_t* x, size_t x_stride, size_t columns, const uint8_t* table, uint8_t* out,
               size_t out_stride, size_t begin, size_t end);
  // Codes of the state as kGruBefore multiplies them last, and then, for every cell, the next state.
  void (*reset)(const Recurrent&, const Moment&, size_t begin, size_t end);
  void (*step)(const Recurrent&, const Moment&, size_t begin, size_t end);
};

}  // namespace qtool
