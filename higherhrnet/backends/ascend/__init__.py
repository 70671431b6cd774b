"""Ascend: the chip's name, and converting an .onnx for it with ATC or AOE."""
