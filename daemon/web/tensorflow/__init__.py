"""TensorFlow Serving's REST interface, version 1: its requests, its answers and what it tells of models."""
