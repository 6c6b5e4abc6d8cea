"""Tensors as the bytes of their elements, in bodies of every dialect that has such."""
