"""Plans from and for other tools: quantized ONNX models read back, and files of encodings."""
