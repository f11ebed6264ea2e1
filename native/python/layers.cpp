#include "layers.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cmath>

namespace qtool {
namespace {

template <class T>
std::vector<T> padded(const Array<T>& array) {
  std::vector<T> values(array.data(), array.data() + array.size());
  values.resize(array.size() + kSlack);
  return values;
}


int32_t wrapped(int64_t value) { return static_cast<int32_t>(static_cast<uint32_t>(value)); }

constexpr int64_t kMaxSum = int64_t{1} << 53;
// Rounding adds up to half of 2**62 to a product.
constexpr double kMaxProduct = static_cast<double>(int64_t{1} << 62);

void check_shift(int64_t multiplier, int64_t shift) {
  require(multiplier >= 0 && multiplier <= INT32_MAX, "multiplier: expected 0..2**31 - 1");
  require(shift >= 0 && shift <= 62, "shift: expected 0..62");
}

}  // namespace

void check_codes(int zero_point, int lo, int hi, int highest) {
  require(zero_point >= 0 && zero_point <= highest && lo >= 0 && hi <= highest && lo <= hi, "codes out of range");
}

Rule rule_named(const std::string& name) {
  if (name == "snap") return Rule::kSnap;
  if (name == "divide") return Rule::kDivide;
  if (name == "fixed_point") return Rule::kFixedPoint;
  if (name == "gemmlowp") return Rule::kGemmlowp;
  if (name == "float") return Rule::kFloat;
  if (name == "sum") return Rule::kSum;
  require(name == "real", "rule: expected snap, divide, fixed_point, gemmlowp, float, real or sum");
  return Rule::kReal;
}

Rounding rounding_named(const std::string& name) {
  if (name == "half_even") return Rounding::kHalfEven;
  if (name == "half_up") return Rounding::kHalfUp;
  if (name == "half_away") return Rounding::kHalfAway;
  require(name == "floor", "rounding: expected half_even, half_up, half_away or floor");
  return Rounding::kFloor;
}

EpilogueLayer::EpilogueLayer(const std::string& rule, const std::string& rounding, Array<double> factor,
                             Array<double> divisor, Array<int32_t> multiplier, Array<int32_t> shift, int zero_point,
                             int lo, int hi, int64_t largest, size_t code_bytes)
    : factor_(padded(factor)), divisor_(padded(divisor)), multiplier_(padded(multiplier)), shift_(padded(shift)) {
  const size_t channels = factor.size();
  plan_.rule = rule_named(rule);
  require(channels > 0, "epilogue: expected one channel or more");
  require_length(factor, channels, "factor: expected one axis");
  require_length(divisor, channels, "divisor: expected one value for each channel");
  require_length(multiplier, channels, "multiplier: expected one value for each channel");
  require_length(shift, channels, "shift: expected one value for each channel");
  require(code_bytes == 1 || code_bytes == 2, "codes: expected 1 or 2 bytes");
  check_codes(zero_point, lo, hi, code_bytes == 1 ? 255 : 65535);
  require(largest >= 0 && largest < kMaxSum, "largest: sums must lie below 2**53");
  for (size_t i = 0; i < channels; ++i) {
    require(std::isfinite(factor_[i]) && factor_[i] > 0, "factor: expected positive numbers");
    require(std::isfinite(divisor_[i]) && divisor_[i] > 0, "divisor: expected positive numbers");
    check_shift(multiplier_[i], shift_[i]);
    // Gemmlowp's rule saturates sums to 32 bits before it multiplies.
    require(plan_.rule == Rule::kGemmlowp || static_cast<double>(largest) * multiplier_[i] <= kMaxProduct,
            "multiplier: products with sums must stay below 2**62");
    single_.push_back(static_cast<float>(factor_[i]));
  }
  single_.resize(channels + kSlack);
  plan_ = {plan_.rule,    rounding_named(rounding), false, factor_.data(), divisor_.data(), multiplier_.data(),
           shift_.data(), single_.data(),           zero_point, lo, hi, channels, code_bytes};
  if (plan_.rule == Rule::kReal || plan_.rule == Rule::kSum) plan_.element = 4;
  plan_.narrow = largest <= INT32_MAX && is_narrow(static_cast<double>(largest));
}

bool EpilogueLayer::is_narrow(double largest) const {
  constexpr double kRoom = 1 << 30;
  for (size_t i = 0; i < plan_.channels; ++i) {
    const bool fixed = plan_.rule == Rule::kFixedPoint;
    const double scale = fixed ? std::ldexp(multiplier_[i], -shift_[i])
                               : factor_[i] / (plan_.rule == Rule::kDivide ? divisor_[i] : 1.0);
    if (!(largest * scale < kRoom) || (fixed && shift_[i] == 0)) return false;
  }
  return true;
}

GemmLayer::GemmLayer(Array<uint8_t> weights, int bits, size_t n, size_t k, size_t groups, int act_max,
                     Array<int32_t> zero, Array<int64_t> sums, int input_zero, Array<int64_t> bias,
                     const EpilogueLayer& epilogue)
    : weights_(weights) {
  require(bits >= 1 && bits <= 8, "bits: expected 1..8");
  require(n > 0 && k > 0 && groups > 0 && n <= kMaxExtent && k <= kMaxExtent, "gemm: absurd extents");
  require(act_max >= 1 && act_max <= 255 && input_zero >= 0 && input_zero <= 255, "activations: expected 0..255");
  plan_ = {weights.data(), bits, act_max, n, k, groups, {}, {}, &epilogue.plan()};
  const size_t bytes = plan_.group_bytes();
  require(weights.ndim() == 1 && weights.size() % bytes == 0 && weights.size() / bytes == groups,
          "weights: not the bytes of such matrices");
  const size_t channels = n * groups;
  require_length(zero, channels, "zero: expected one value for each channel");
  require_length(sums, channels, "sums: expected one value for each channel");
  require_length(bias, channels, "bias: expected one value for each channel");
  require(epilogue.plan().channels == channels, "epilogue: made for another number of channels");
  const int64_t centre = int64_t{1} << (bits - 1);
  bool sloped = false;
  for (size_t i = 0; i < channels; ++i) {
    const int64_t zero_code = zero.data()[i], sum = sums.data()[i];
    require(zero_code >= 0 && zero_code < 2 * centre, "zero: outside of the codes");
    const int32_t offset = wrapped(bias.data()[i] - input_zero * sum);
    const int64_t codes = sum + static_cast<int64_t>(k) * zero_code;
    offset_.push_back(offset);
    slope_.push_back(wrapped(centre - zero_code));
    vector_offset_.push_back(wrapped(offset + 128 * codes));
    vector_slope_.push_back(wrapped(-zero_code));
    sloped = sloped || zero_code != centre;
  }
  for (auto* values : {&offset_, &slope_, &vector_offset_, &vector_slope_}) values->resize(channels + kSlack);
  plan_.rows = {offset_.data(), sloped ? slope_.data() : nullptr};
  plan_.vector = {vector_offset_.data(), vector_slope_.data()};
}

void GemmLayer::set_runs(size_t size, size_t inner, const Array<int32_t>& multiplier) {
  require(size >= 1 && inner >= 1 && plan_.k % inner == 0, "runs: expected runs of whole kernel positions");
  require(plan_.groups == 1 && plan_.rows.slope == nullptr, "runs: expected one group and no zero points");
  require(plan_.runs == nullptr, "runs: they are set already");
  for (size_t tap = 0; tap < plan_.k; tap += inner) {
    for (size_t begin = tap; begin < tap + inner; begin += size) {
      const size_t end = std::min(tap + inner, begin + size), first = begin / kDepth;
      run_.push_back({begin, end, first, round_up(end, kDepth) / kDepth - first});
      runs_.slices += run_.back().slices;
    }
  }
  runs_.run = run_.data();
  runs_.count = run_.size();
  runs_.whole_slices = runs_.slices == plan_.slices();
  require(multiplier.ndim() == 2 && multiplier.shape(0) == plan_.n && multiplier.shape(1) == runs_.count,
          "runs: expected a multiplier for each column and run");
  multiplier_.assign(plan_.column_blocks() * runs_.count * kColumns, 0);
  for (size_t column = 0; column < plan_.n; ++column) {
    for (size_t run = 0; run < runs_.count; ++run) {
      const size_t row = column / kColumns * runs_.count + run;
      multiplier_[row * kColumns + column % kColumns] = multiplier.data()[column * runs_.count + run];
    }
  }
  runs_.multiplier = multiplier_.data();
  // Products of one row take the centre of the codes from the sums of every run.
  const int64_t centres = static_cast<int64_t>(plan_.k) << (plan_.bits - 1);
  for (size_t i = 0; i < plan_.n; ++i) vector_offset_[i] = wrapped(vector_offset_[i] - 128 * centres);
  plan_.vector.slope = nullptr;
  plan_.runs = &runs_;
}

DepthwiseLayer::DepthwiseLayer(Array<int16_t> weights, int input_zero, Array<int64_t> bias,
                               const EpilogueLayer& epilogue) {
  require(weights.ndim() == 2 && weights.size() > 0, "weights: expected (taps, channels)");
  const size_t channels = weights.shape(1), stride = 2 * (channels + kSlack);
  tap_count_ = weights.shape(0);
  require_length(bias, channels, "bias: expected one value for each channel");
  require(epilogue.plan().channels == channels, "epilogue: made for another number of channels");
  require(input_zero >= 0 && input_zero <= 255, "activations: expected 0..255");
  taps_.resize((tap_count_ + 1) / 2 * stride);
  std::vector<int64_t> sums(channels);
  for (size_t tap = 0; tap < tap_count_; ++tap) {
    for (size_t i = 0; i < channels; ++i) {
      const int16_t weight = weights.data()[tap * channels + i];
      require(weight >= -255 && weight <= 255, "weights: expected codes of 8 bits less their zero points");
      taps_[tap / 2 * stride + 2 * i + tap % 2] = weight;
      sums[i] += weight;
    }
  }
  for (size_t i = 0; i < channels; ++i) offset_.push_back(wrapped(bias.data()[i] - input_zero * sums[i]));
  offset_.resize(channels + kSlack);
  plan_ = {taps_.data(), offset_.data(), &epilogue.plan()};
}

SumLayer::SumLayer(const std::string& rule, const std::string& rounding, double left, double right, double factor,
                   double divisor, int zero_a, int zero_b, int zero_point, int lo, int hi, size_t code_bytes) {
  require(code_bytes == 1 || code_bytes == 2, "codes: expected 1 or 2 bytes");
  check_codes(zero_point, lo, hi, code_bytes == 1 ? 255 : 65535);
  check_codes(zero_a, 0, 65535, 65535);
  check_codes(zero_b, 0, 65535, 65535);
  require(std::isfinite(left) && std::isfinite(right) && std::isfinite(factor), "sum: expected finite scales");
  require(std::isfinite(divisor) && divisor > 0, "divisor: expected a positive number");
  plan_.rule = rule_named(rule);
  require(plan_.rule != Rule::kSum, "sum: there is no sum of this rule");
  plan_.element = plan_.rule == Rule::kReal ? sizeof(float) : code_bytes;
  require(plan_.rule != Rule::kFixedPoint, "sum: a fixed-point rule is a division by a power of two here");
  plan_.rounding = rounding_named(rounding);
  plan_.left = left;
  plan_.right = right;
  plan_.factor = factor;
  plan_.divisor = divisor;
  plan_.zero_a = zero_a;
  plan_.zero_b = zero_b;
  plan_.zero_point = zero_point;
  plan_.lo = lo;
  plan_.hi = hi;
}

void SumLayer::set_gemmlowp(int64_t left, int left_shift, int64_t right, int right_shift, int64_t result,
                            int result_shift, int sign, int raised) {
  check_shift(left, left_shift);
  check_shift(right, right_shift);
  check_shift(result, result_shift);
  require(sign == 1 || sign == -1, "sign: expected 1 or -1");
  plan_.left_multiplier = left;
  plan_.left_shift = left_shift;
  plan_.right_multiplier = right;
  plan_.right_shift = right_shift;
  plan_.multiplier = result;
  plan_.shift = result_shift;
  require(raised >= 0 && raised <= 20, "raised: expected 0..20 bits");
  plan_.sign = sign;
  plan_.raised = raised;
}

CombinationLayer::CombinationLayer(Array<double> weights, Array<int64_t> bias, const EpilogueLayer& epilogue)
    : weights_(weights.data(), weights.data() + weights.size()), bias_(bias.data(), bias.data() + bias.size()) {
  require_length(weights, weights_.size(), "weights: expected one axis");
  require_length(bias, epilogue.plan().channels, "bias: expected one value for each channel");
  require(epilogue.plan().rule != Rule::kSum, "combination: sums of 32 bits do not hold it");
  plan_ = {weights_.data(), weights_.size(), bias_.data(), &epilogue.plan()};
}

void bind_layers(nb::module_& m) {
  using nb::arg;
  nb::class_<EpilogueLayer>(m, "Epilogue")
      .def(nb::init<const std::string&, const std::string&, Array<double>, Array<double>, Array<int32_t>,
                    Array<int32_t>, int, int, int, int64_t, size_t>(),
           arg("rule"), arg("rounding"), arg("factor").noconvert(), arg("divisor").noconvert(),
           arg("multiplier").noconvert(), arg("shift").noconvert(), arg("zero_point"), arg("lo"), arg("hi"),
           arg("largest"), arg("code_bytes"));
  nb::class_<GemmLayer>(m, "Gemm")
      .def(nb::init<Array<uint8_t>, int, size_t, size_t, size_t, int, Array<int32_t>, Array<int64_t>, int,
                    Array<int64_t>, const EpilogueLayer&>(),
           arg("weights").noconvert(), arg("bits"), arg("n"), arg("k"), arg("groups"), arg("act_max"),
           arg("zero").noconvert(), arg("sums").noconvert(), arg("input_zero"), arg("bias").noconvert(),
           arg("epilogue"), nb::keep_alive<1, 12>())
      .def("set_runs", &GemmLayer::set_runs, arg("size"), arg("inner"), arg("multiplier").noconvert());
  nb::class_<DepthwiseLayer>(m, "Depthwise")
      .def(nb::init<Array<int16_t>, int, Array<int64_t>, const EpilogueLayer&>(), arg("weights").noconvert(),
           arg("input_zero"), arg("bias").noconvert(), arg("epilogue"), nb::keep_alive<1, 5>());
  nb::class_<SumLayer>(m, "Sum")
      .def(nb::init<const std::string&, const std::string&, double, double, double, double, int, int, int, int, int,
                    size_t>(),
           arg("rule"), arg("rounding"), arg("left"), arg("right"), arg("factor"), arg("divisor"), arg("zero_a"),
           arg("zero_b"), arg("zero_point"), arg("lo"), arg("hi"), arg("code_bytes"))
      .def("set_gemmlowp", &SumLayer::set_gemmlowp, arg("left"), arg("left_shift"), arg("right"), arg("right_shift"),
           arg("result"), arg("result_shift"), arg("sign"), arg("raised"));
  nb::class_<CombinationLayer>(m, "Combination")
      .def(nb::init<Array<double>, Array<int64_t>, const EpilogueLayer&>(), arg("weights").noconvert(),
           arg("bias").noconvert(), arg("epilogue"), nb::keep_alive<1, 4>());
}

}  // namespace qtool
