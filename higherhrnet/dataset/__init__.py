"""Data sets in COCO's format: images, joints, annotated people, results and their evaluation."""
