"""The demonstration: generated scenes, and the training of a small network on them."""
