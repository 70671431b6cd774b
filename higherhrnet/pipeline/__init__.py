"""The whole chain in chunks: preprocess a chunk, infer it, decode it, delete it. People are kept, maps are not."""
