"""Methods that learn by gradients: a bridge from ONNX graphs to PyTorch, and what is trained through it.

Everything here needs the extra ``train``; nothing outside imports it before it is asked for.
"""
