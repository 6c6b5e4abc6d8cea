"""What an element of a tensor is in binary, as Triton's "Binary Tensor Data Extension" has it. Any thread, no state."""

import numpy as np

WIRE = {
    name: np.dtype(code)
    for name, code in (
        ("bool", "u1"),
        ("uint8", "u1"),
        ("uint16", "<u2"),
        ("uint32", "<u4"),
        ("uint64", "<u8"),
        ("int8", "i1"),
        ("int16", "<i2"),
        ("int32", "<i4"),
        ("int64", "<i8"),
        ("float16", "<f2"),
        ("float32", "<f4"),
        ("float64", "<f8"),
        ("bfloat16", "<u2"),
    )
}
"""What an element of each dtype is in binary; strings, whose lengths vary, are none of these."""
