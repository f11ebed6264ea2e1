// Prepared layers that own what the plain structs of plan.h point at.
#pragma once

#include <string>
#include <vector>

#include "arrays.h"

namespace qtool {

class Executor;

Rule rule_named(const std::string& name);
Rounding rounding_named(const std::string& name);
void check_codes(int zero_point, int lo, int hi, int highest);

// Both arrays of a rule are always there, so that no kernel can meet a null pointer.
class EpilogueLayer {
 public:
  EpilogueLayer(const std::string& rule, const std::string& rounding, Array<double> factor, Array<double> divisor,
                Array<int32_t> multiplier, Array<int32_t> shift, int zero_point, int lo, int hi, int64_t largest,
                size_t code_bytes);
  EpilogueLayer(const EpilogueLayer&) = delete;

  const Epilogue& plan() const { return plan_; }

 private:
  bool is_narrow(double largest) const;

  std::vector<double> factor_, divisor_;
  std::vector<int32_t> multiplier_, shift_;
  std::vector<float> single_;
  Epilogue plan_{};
};

// Weights stay where Python has them: mapped from a file, as a rule.
class GemmLayer {
 public:
  GemmLayer(Array<uint8_t> weights, int bits, size_t n, size_t k, size_t groups, int act_max, Array<int32_t> zero,
            Array<int64_t> sums, int input_zero, Array<int64_t> bias, const EpilogueLayer& epilogue);
  GemmLayer(const GemmLayer&) = delete;

  // Multipliers (columns, runs), of one group and of weights whose zero points are the middle of the codes.
  void set_runs(size_t size, size_t inner, const Array<int32_t>& multiplier);

  const Gemm& plan() const { return plan_; }

 private:
  Array<uint8_t> weights_;
  std::vector<int32_t> multiplier_;
  std::vector<Run> run_;
  Runs runs_{};
  std::vector<int32_t> offset_, slope_, vector_offset_, vector_slope_;
  Gemm plan_{};
};

class DepthwiseLayer {
 public:
  // Weights (taps, channels), less their zero points.
  DepthwiseLayer(Array<int16_t> weights, int input_zero, Array<int64_t> bias, const EpilogueLayer& epilogue);
  DepthwiseLayer(const DepthwiseLayer&) = delete;

  const Depthwise& plan() const { return plan_; }
  size_t taps() const { return tap_count_; }

 private:
  size_t tap_count_;
  std::vector<int16_t> taps_;
  std::vector<int32_t> offset_;
  Depthwise plan_{};
};

class CombinationLayer {
 public:
  CombinationLayer(Array<double> weights, Array<int64_t> bias, const EpilogueLayer& epilogue);
  CombinationLayer(const CombinationLayer&) = delete;

  const Combination& plan() const { return plan_; }

 private:
  std::vector<double> weights_, bias_;
  Combination plan_{};
};

class SumLayer {
 public:
  SumLayer(const std::string& rule, const std::string& rounding, double left, double right, double factor,
           double divisor, int zero_a, int zero_b, int zero_point, int lo, int hi, size_t code_bytes);

  // Multipliers and shifts of both operands and of the result, for gemmlowp's rule.
  void set_gemmlowp(int64_t left, int left_shift, int64_t right, int right_shift, int64_t result, int result_shift,
                    int sign, int raised);

  const Sum& plan() const { return plan_; }

 private:
  Sum plan_{};
};

// Gains and shifts for the channels of a row.
class LayerNormLayer {
 public:
  LayerNormLayer(Array<double> gains, Array<double> shifts, bool centred, int64_t epsilon, int zero_point,
                 const EpilogueLayer& epilogue);
  LayerNormLayer(const LayerNormLayer&) = delete;

  const LayerNorm& plan() const { return plan_; }

 private:
  std::vector<double> gains_, shifts_;
  LayerNorm plan_{};
};

class SoftmaxLayer {
 public:
  SoftmaxLayer(Array<int32_t> powers, int64_t reciprocal, int zero_point, int lo, int hi);
  SoftmaxLayer(const SoftmaxLayer&) = delete;

  // For rows of this many codes.
  Softmax plan(size_t length) const;
  size_t codes() const { return powers_.size(); }

 private:
  std::vector<int32_t> powers_;
  Softmax plan_{};
};

// Multipliers, shifts and biases that bring sums to units of 2**-15.
class RescaleLayer {
 public:
  RescaleLayer(Array<int32_t> multiplier, Array<int32_t> shift, Array<int64_t> bias);
  RescaleLayer(const RescaleLayer&) = delete;

  Rescale plan() const { return {multiplier_.data(), shift_.data(), bias_.data()}; }
  size_t outputs() const { return multiplier_.size(); }

 private:
  std::vector<int32_t> multiplier_, shift_;
  std::vector<int64_t> bias_;
};

class RecurrentLayer {
 public:
  // The products write sums; the last gate of a gru whose reset gate scales the state has one of its own.
  RecurrentLayer(const std::string& cell, const RescaleLayer& input, const RescaleLayer& state, Array<int32_t> table,
                 int levels, const EpilogueLayer& epilogue, const GemmLayer& product, const GemmLayer* last);
  RecurrentLayer(const RecurrentLayer&) = delete;

  const Recurrent& plan() const { return plan_; }

 private:
  std::vector<int32_t> table_;
  Recurrent plan_{};
};

void bind_layers(nb::module_& m);
void bind_rows(nb::module_& m);
void bind_row_calls(nb::class_<Executor>& executor);
void bind_recurrent(nb::module_& m);
void bind_recurrent_calls(nb::class_<Executor>& executor);
void bind_calls(nb::module_& m);
void bind_boundary(nb::module_& m);

}  // namespace qtool
