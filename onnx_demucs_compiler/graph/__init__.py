"""Helpers on ONNX graphs: weights, storage, shapes and arithmetic; for rules too."""
