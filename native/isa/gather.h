// Rows of the left matrix: copied from memory, or collected under a window (im2col).
#pragma once

#include <cstring>

#include "plan.h"

namespace qtool::QTOOL_ISA {

struct Place {
  size_t image, y, x;
};

inline Place place_of(const Window& w, size_t index) {
  const size_t in_image = index % (w.out_h * w.out_w);
  return {index / (w.out_h * w.out_w), in_image / w.out_w, in_image % w.out_w};
}

// Position of a tap on one axis; values of the extent and above mean padding, those below 0 included.
inline size_t tap_at(size_t out, size_t stride, size_t tap, size_t dilation, size_t pad) {
  return out * stride + tap * dilation - pad;
}

// One row of taps, channels of a group each, tap by tap.
inline void gather_taps(const Window& w, const uint8_t* line, size_t out_x, size_t first, size_t channels,
                        uint8_t* to) {
  for (size_t tap = 0; tap < w.kernel_w; ++tap, to += channels) {
    const size_t x = tap_at(out_x, w.stride_w, tap, w.dilation_w, w.pad_left);
    if (x < w.width) {
      memcpy(to, line + x * w.channels + first, channels);
    } else {
      memset(to, w.pad_value, channels);
    }
  }
}

inline void gather_window(const Rows& rows, size_t index, uint8_t* to) {
  const Window& w = *rows.window;
  const Place at = place_of(w, index);
  const size_t run = w.kernel_w * rows.channels;
  const size_t left = tap_at(at.x, w.stride_w, 0, 1, w.pad_left);
  // Taps beside each other are bytes beside each other, unless a group or a dilation lies between them.
  const bool whole = w.dilation_w == 1 && rows.channels == w.channels && left < w.width && w.kernel_w <= w.width - left;
  const uint8_t* image = rows.data + at.image * w.image_bytes();
  for (size_t tap = 0; tap < w.kernel_h; ++tap, to += run) {
    const size_t y = tap_at(at.y, w.stride_h, tap, w.dilation_h, w.pad_top);
    if (y >= w.height) {
      memset(to, w.pad_value, run);
    } else if (whole) {
      memcpy(to, image + (y * w.width + left) * w.channels, run);
    } else {
      gather_taps(w, image + y * w.width * w.channels, at.x, rows.first_channel, rows.channels, to);
    }
  }
}

// Writes k bytes of a row and zeros up to `padded`.
inline void gather_row(const Rows& rows, size_t index, size_t k, size_t padded, uint8_t* to) {
  if (rows.window != nullptr) {
    gather_window(rows, index, to);
  } else {
    memcpy(to, rows.data + index * rows.stride + rows.first_channel, k);
  }
  memset(to + k, 0, padded - k);
}

inline int32_t byte_sum(const uint8_t* from, size_t count) {
  uint32_t sum = 0;
  for (size_t i = 0; i < count; ++i) sum += from[i];
  return static_cast<int32_t>(sum);
}

}  // namespace qtool::QTOOL_ISA
