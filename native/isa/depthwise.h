// Depthwise convolutions, a few output pixels at a time. Needs depthwise_pixel() and finish().
#pragma once

#include <cstring>

#include "gather.h"

namespace qtool::QTOOL_ISA {

// Pixels that are finished at once: the constants of their channels are loaded once for all of them.
constexpr size_t kPixels = 8;

struct DepthwiseLayout {
  size_t pairs, sums_stride, sums_at, offsets_at, padding_at, bytes;

  explicit DepthwiseLayout(const Window& w) {
    pairs = (w.taps() + 1) / 2;
    sums_at = 2 * pairs * sizeof(const uint8_t*);
    sums_at = round_up(sums_at, kLine);
    sums_stride = round_up(w.channels, kColumns);
    offsets_at = sums_at + kPixels * sums_stride * sizeof(int32_t);
    padding_at = offsets_at + round_up(2 * pairs * sizeof(size_t), kLine);
    bytes = padding_at + round_up(w.channels, kLine);
  }
};

inline size_t depthwise_scratch(const Window& w) { return DepthwiseLayout(w).bytes; }

// Whether the taps of one axis lie inside of the image, all of them.
inline bool fits_inside(size_t first, size_t kernel, size_t dilation, size_t extent) {
  return first < extent && (kernel - 1) * dilation < extent - first;
}

// First element of the image under the taps of an output pixel; what is none where some are padding.
inline size_t first_inside(const Window& w, const Place& at) {
  const size_t z = tap_at(at.z, w.strides.d, 0, 1, w.pads.d), y = tap_at(at.y, w.strides.h, 0, 1, w.pads.h);
  const size_t x = tap_at(at.x, w.strides.w, 0, 1, w.pads.w);
  const bool inside = fits_inside(z, w.kernel.d, w.dilations.d, w.image.d) &&
                      fits_inside(y, w.kernel.h, w.dilations.h, w.image.h) &&
                      fits_inside(x, w.kernel.w, w.dilations.w, w.image.w);
  return inside ? (z * w.image.h + y) * w.image.w + x : SIZE_MAX;
}

inline void point_at_taps(const Window& w, const Place& at, const uint8_t* image, const uint8_t* padding,
                          const uint8_t** taps) {
  for (size_t tap_z = 0; tap_z < w.kernel.d; ++tap_z) {
    for (size_t tap_y = 0; tap_y < w.kernel.h; ++tap_y) {
      const size_t line = line_at(w, at, tap_z, tap_y);
      for (size_t tap_x = 0; tap_x < w.kernel.w; ++tap_x) {
        const size_t x = tap_at(at.x, w.strides.w, tap_x, w.dilations.w, w.pads.w);
        const bool inside = line != SIZE_MAX && x < w.image.w;
        *taps++ = inside ? image + (line * w.image.w + x) * w.channels : padding;
      }
    }
  }
}

// Distance in bytes from the first tap to every tap.
inline void tap_offsets(const Window& w, size_t count, size_t* offsets) {
  for (size_t tap = 0; tap < count; ++tap) {
    const size_t line = tap / w.kernel.w, z = line / w.kernel.h * w.dilations.d;
    const size_t y = line % w.kernel.h * w.dilations.h, x = tap % w.kernel.w * w.dilations.w;
    // An odd number of taps is filled up by one of weight zero, which may point anywhere.
    offsets[tap] = tap < w.taps() ? ((z * w.image.h + y) * w.image.w + x) * w.channels : 0;
  }
}

// Fills in where each tap of an output pixel points.
inline void find_taps(const Window& w, const DepthwiseLayout& layout, const uint8_t* x, size_t pixel,
                      const size_t* offsets, const uint8_t* padding, const uint8_t** taps) {
  const Place at = place_of(w, pixel);
  const uint8_t* image = x + at.image * w.image_elements();
  const size_t inside = first_inside(w, at);
  if (inside != SIZE_MAX) {
    const uint8_t* first = image + inside * w.channels;
    for (size_t tap = 0; tap < 2 * layout.pairs; ++tap) taps[tap] = first + offsets[tap];
  } else {
    taps[2 * layout.pairs - 1] = padding;
    point_at_taps(w, at, image, padding, taps);
  }
}

inline void depthwise(const Depthwise& d, const Window& w, const uint8_t* x, size_t begin, size_t end,
                      void* scratch_memory, void* out) {
  const DepthwiseLayout layout(w);
  uint8_t* scratch = static_cast<uint8_t*>(scratch_memory);
  const uint8_t** taps = reinterpret_cast<const uint8_t**>(scratch);
  int32_t* sums = reinterpret_cast<int32_t*>(scratch + layout.sums_at);
  size_t* offsets = reinterpret_cast<size_t*>(scratch + layout.offsets_at);
  uint8_t* padding = scratch + layout.padding_at;
  memset(padding, w.pad_value, w.channels);
  tap_offsets(w, 2 * layout.pairs, offsets);
  const size_t pixel_bytes = w.channels * d.epilogue->element;
  for (size_t pixel = begin; pixel < end; pixel += kPixels) {
    const size_t count = end - pixel < kPixels ? end - pixel : kPixels;
    for (size_t i = 0; i < count; ++i) {
      find_taps(w, layout, x, pixel + i, offsets, padding, taps);
      depthwise_pixel(taps, layout.pairs, d.taps, 2 * (w.channels + kSlack), w.channels, sums + i * layout.sums_stride);
    }
    finish(*d.epilogue, Correction{d.offset, nullptr}, 0,
           Tile{sums, layout.sums_stride, count, w.channels, nullptr,
                static_cast<uint8_t*>(out) + pixel * pixel_bytes, w.channels});
  }
}

}  // namespace qtool::QTOOL_ISA
