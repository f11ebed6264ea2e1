"""What ONNX Runtime makes of a quantized model: what it refuses, slows down or gets wrong."""
