"""The network, its checkpoints and its ONNX file. Only here and in backends/torch.py is torch imported."""
