"""The Open Inference Protocol, version 2, over REST: what its tensors are in JSON and in binary. Any thread."""
