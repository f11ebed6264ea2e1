// Layers that work on rows, and their calls: softmax and layer normalization.
#include <cmath>

#include "executor.h"
#include "layers.h"

namespace qtool {
namespace {

// With gains up to 2**22 and normalized values below 2**24, sums with their shifts stay below 2**47.
constexpr size_t kMaxNormalized = size_t{1} << 14;
constexpr double kMaxGain = 1 << 22;
constexpr double kMaxShift = static_cast<double>(int64_t{1} << 46);
constexpr int64_t kMaxEpsilon = int64_t{1} << 60;
constexpr int32_t kSoftmaxOne = 1 << 24;
constexpr int64_t kMaxReciprocal = int64_t{1} << 36;

bool is_whole(double value, double largest) { return std::fabs(value) <= largest && std::trunc(value) == value; }

void run_softmax(Executor& executor, const SoftmaxLayer& layer, const Mask& mask, const Codes& x, const Output& out) {
  const size_t element = bytes_of(x), out_element = out.itemsize();
  require(x.ndim() == 2 && x.shape(1) > 0 && x.shape(1) <= kMaxExtent, "softmax: expected rows of codes");
  require(layer.codes() == size_t{1} << (8 * element), "softmax: expected a power for every code of the input");
  const Softmax plan = layer.plan(x.shape(1));
  void* to = output(out, 2, plan.hi <= 255 && out_element == 1 ? nb::dtype<uint8_t>() : nb::dtype<uint16_t>());
  require(out.shape(0) == x.shape(0) && out.shape(1) == x.shape(1), "softmax: expected an output of the same shape");
  const size_t rows = x.shape(0);
  const nb::gil_scoped_release released;
  executor.softmax(plan, mask, x.data(), element, rows, to, out_element);
}

void softmax(Executor& executor, const SoftmaxLayer& layer, const Codes& x, const Output& out) {
  run_softmax(executor, layer, Mask{}, x, out);
}

// `rows` says for every row of codes which row of `kept` hides some of them.
void masked_softmax(Executor& executor, const SoftmaxLayer& layer, const Array<uint8_t>& kept,
                    const Array<int32_t>& rows, const Codes& x, const Output& out) {
  require(x.ndim() == 2 && kept.ndim() == 2 && kept.shape(1) == x.shape(1), "mask: expected rows as long as the codes'");
  require_length(rows, x.shape(0), "mask: expected one of its rows for every row of codes");
  for (size_t i = 0; i < rows.size(); ++i) {
    require(rows.data()[i] >= 0 && static_cast<size_t>(rows.data()[i]) < kept.shape(0), "mask: no such row");
  }
  run_softmax(executor, layer, Mask{kept.data(), rows.data()}, x, out);
}

void layer_norm(Executor& executor, const LayerNormLayer& layer, const Codes& x, const Output& out) {
  const LayerNorm& plan = layer.plan();
  const size_t element = bytes_of(x);
  void* to = output(out, 2, type_of(*plan.epilogue));
  require(x.ndim() == 2 && x.shape(1) == plan.length, "layer_norm: expected rows of as many codes as there are gains");
  require(out.shape(0) == x.shape(0) && out.shape(1) == x.shape(1), "layer_norm: expected an output of the same shape");
  const size_t rows = x.shape(0);
  const nb::gil_scoped_release released;
  executor.layer_norm(plan, x.data(), element, rows, to);
}

}  // namespace

LayerNormLayer::LayerNormLayer(Array<double> gains, Array<double> shifts, bool centred, int64_t epsilon,
                               int zero_point, const EpilogueLayer& epilogue)
    : gains_(gains.data(), gains.data() + gains.size()), shifts_(shifts.data(), shifts.data() + shifts.size()) {
  const size_t length = gains_.size();
  require_length(gains, length, "gains: expected one axis");
  require_length(shifts, length, "shifts: expected one for each gain");
  require(length >= 1 && length <= kMaxNormalized, "gains: expected 1..2**14");
  for (size_t i = 0; i < length; ++i) {
    require(is_whole(gains_[i], kMaxGain), "gains: expected whole numbers up to 2**22");
    require(is_whole(shifts_[i], kMaxShift), "shifts: expected whole numbers up to 2**46");
  }
  require(epsilon >= 0 && epsilon <= kMaxEpsilon, "epsilon: expected 0..2**60");
  require(zero_point >= 0 && zero_point <= 65535, "zero point: expected a code");
  require(epilogue.plan().channels == length, "epilogue: made for another number of channels");
  plan_ = {length, centred, epsilon, zero_point, gains_.data(), shifts_.data(), &epilogue.plan()};
}

SoftmaxLayer::SoftmaxLayer(Array<int32_t> powers, int64_t reciprocal, int zero_point, int lo, int hi)
    : powers_(powers.data(), powers.data() + powers.size()) {
  require_length(powers, powers_.size(), "powers: expected one axis");
  require(powers_.size() == 256 || powers_.size() == 65536, "powers: expected 2**8 or 2**16");
  require(powers_[0] == kSoftmaxOne, "powers: expected 2**24 in front");
  for (const int32_t power : powers_) require(power >= 0 && power <= kSoftmaxOne, "powers: expected 0..2**24");
  require(reciprocal >= 1 && reciprocal <= kMaxReciprocal, "reciprocal: expected 1..2**36");
  check_codes(zero_point, lo, hi, 65535);
  plan_ = {powers_.data(), reciprocal, 0, zero_point, lo, hi};
}

Softmax SoftmaxLayer::plan(size_t length) const {
  Softmax made = plan_;
  made.length = length;
  return made;
}

void bind_rows(nb::module_& m) {
  using nb::arg;
  nb::class_<LayerNormLayer>(m, "LayerNorm")
      .def(nb::init<Array<double>, Array<double>, bool, int64_t, int, const EpilogueLayer&>(),
           arg("gains").noconvert(), arg("shifts").noconvert(), arg("centred"), arg("epsilon"), arg("zero_point"),
           arg("epilogue"), nb::keep_alive<1, 7>());
  nb::class_<SoftmaxLayer>(m, "Softmax")
      .def(nb::init<Array<int32_t>, int64_t, int, int, int>(), arg("powers").noconvert(), arg("reciprocal"),
           arg("zero_point"), arg("lo"), arg("hi"));
}

void bind_row_calls(nb::class_<Executor>& executor) {
  using nb::arg;
  const auto x = arg("x").noconvert(), out = arg("out").noconvert();
  executor.def("softmax", softmax, arg("layer"), x, out)
      .def("masked_softmax", masked_softmax, arg("layer"), arg("kept").noconvert(), arg("rows").noconvert(), x, out)
      .def("layer_norm", layer_norm, arg("layer"), x, out);
}

}  // namespace qtool
