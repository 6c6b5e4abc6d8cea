"""bfloat16 as bits: a float32 array to and from the upper halves of its words; pure functions, any thread.

bfloat16 is the upper 16 bits of an IEEE 754 binary32: sign, 8 bits of exponent, 7 of fraction.
"""

import numpy as np
import numpy.typing as npt

LIMIT = 3.3961775292304601e38
"""The least magnitude that rounds to infinity: half a unit in the last place above the greatest finite value."""

_QUIET_NAN = 0x7FC0


def to_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round float32 of any shape to the nearest bfloat16, ties to even; a C-contiguous uint16 array, NaN quiet."""
    words = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16
    bits = np.where(np.isnan(values), np.uint64(_QUIET_NAN), rounded).astype(np.uint16)
    return bits.reshape(values.shape)


def from_bits(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Widen bfloat16 bits of any shape to float32, exactly; a new array."""
    words = np.asarray(bits.astype(np.uint32) << 16)  # which of a scalar makes no array
    return words.view(np.float32).reshape(bits.shape)
