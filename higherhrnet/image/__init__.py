"""From an image file to the network's input, and from points in it back to the image."""
