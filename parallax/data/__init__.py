"""Read and write volumes, prepare them to a common frame, cache them, hand out views."""
