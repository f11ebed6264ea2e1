// Where float images become codes.
#include <algorithm>

#include "layers.h"

namespace qtool {
namespace {

constexpr size_t kChunk = 256;
// Adding and taking away 1.5 * 2**23 leaves a float32 below 2**22 rounded half to even.
constexpr float kRound = 12582912.0f;

// Values of (images, channels, pixels) to stored codes with the channels last.
struct Quantize {
  float scale;
  int32_t zero_point, lo, hi;
  size_t channels, pixels;

  uint8_t code(float value) const {
    const float low = static_cast<float>(lo - zero_point), high = static_cast<float>(hi - zero_point);
    const float steps = value / scale;
    // Written so that a NaN becomes the lowest code.
    const float bounded = !(steps > low) ? low : steps > high ? high : steps;
    return static_cast<uint8_t>(static_cast<int32_t>((bounded + kRound) - kRound) + zero_point);
  }

  void image(const float* from, uint8_t* to) const {
    uint8_t codes[kChunk];
    for (size_t start = 0; start < pixels; start += kChunk) {
      const size_t count = std::min(kChunk, pixels - start);
      for (size_t channel = 0; channel < channels; ++channel) {
        const float* values = from + channel * pixels + start;
        for (size_t i = 0; i < count; ++i) codes[i] = code(values[i]);
        uint8_t* place = to + start * channels + channel;
        for (size_t i = 0; i < count; ++i) place[i * channels] = codes[i];
      }
    }
  }
};

void quantize(const Array<float>& x, float scale, int zero_point, int lo, int hi, const Output& out) {
  uint8_t* to = static_cast<uint8_t*>(output(out, 3));
  require(x.ndim() == 3, "quantize: expected (images, channels, pixels)");
  const size_t images = x.shape(0), channels = x.shape(1), pixels = x.shape(2);
  require(out.shape(0) == images && out.shape(1) == pixels && out.shape(2) == channels,
          "quantize: expected an output of (images, pixels, channels)");
  require(scale > 0, "quantize: expected a positive scale");
  require(zero_point >= 0 && zero_point <= 255 && lo >= 0 && hi <= 255 && lo <= hi, "codes must lie in 0..255");
  const nb::gil_scoped_release released;
  const Quantize plan{scale, zero_point, lo, hi, channels, pixels};
  for (size_t i = 0; i < images; ++i) {
    plan.image(x.data() + i * channels * pixels, to + i * channels * pixels);
  }
}

}  // namespace

void bind_boundary(nb::module_& m) {
  using nb::arg;
  m.def("quantize", quantize, "Float32 (images, channels, pixels) to stored codes (images, pixels, channels).",
        arg("x").noconvert(), arg("scale"), arg("zero_point"), arg("lo"), arg("hi"), arg("out").noconvert());
}

}  // namespace qtool
