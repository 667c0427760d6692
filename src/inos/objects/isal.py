"""The only module that calls ISA-L: weighted sums of large buffers over GF(2^8), at memory speed, without the GIL.

pyeclib's own calls join the chunks into one buffer and give every fragment an 80-byte header with a library version in
it, so its output is neither raw nor stable. Its wheel bundles Intel's ISA-L, though, whose `ec_encode_data` does just
the arithmetic wanted, on buffers where they lie. It is found by file name beside pyeclib, else as the system's library;
where there is neither, `gf256.combine` gives the same bytes slowly.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import pyeclib

from inos.objects import gf256

Combine = Callable[[list[bytes], list[bytes]], list[bytes]]
# Where wheel builders put bundled libraries: auditwheel (Linux) and delocate (macOS).
_BUNDLES: Final = ("../pyeclib.libs", ".dylibs")
_TABLE_BYTES: Final = 32  # of ISA-L's lookup table for one coefficient
# ISA-L reads all sources once for every six results. With more results than that, going through the buffers in steps
# that stay in the cache doubles the rate (100+20: 1.5 -> 3 GB/s); with fewer, steps only cost calls.
_RESULTS_A_PASS: Final = 6
_STEP_BYTES: Final = 32 * 1024

# Fresh uninitialised bytes, to be filled before anyone else sees them, as the C API allows. A zeroed buffer copied into
# bytes at the end halves the rate: the page faults cost more than the arithmetic.
_new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.restype = ctypes.py_object
_new_bytes.argtypes = [ctypes.c_char_p, ctypes.c_ssize_t]


def find() -> ctypes.CDLL | None:
    """ISA-L, or None where this machine has none."""
    package = Path(pyeclib.__file__).parent
    bundled = [str(path) for folder in _BUNDLES for path in sorted((package / folder).glob("libisal*"))]
    for name in (*bundled, ctypes.util.find_library("isal")):
        if name is None:
            continue
        try:
            library = ctypes.CDLL(name)
            library.ec_init_tables.restype = library.ec_encode_data.restype = None
        except (OSError, AttributeError):
            continue
        return library
    return None


@cache
def engine() -> Combine:
    """The fastest `combine(rows, sources)` there is here: for each row, the sum of coefficient * source. Sources have
    one length, at least 1."""
    library = find()
    return gf256.combine if library is None else with_library(library)


def with_library(library: ctypes.CDLL) -> Combine:
    """`combine` done by ISA-L. Releases the GIL while it computes."""

    @lru_cache(maxsize=512)
    def tables(matrix: bytes, width: int) -> ctypes.Array[ctypes.c_char]:
        made = ctypes.create_string_buffer(_TABLE_BYTES * len(matrix))
        library.ec_init_tables(width, len(matrix) // width, matrix, made)
        return made

    def combine(rows: list[bytes], sources: list[bytes]) -> list[bytes]:
        # ISA-L trusts its caller with every length.
        width, size = len(sources), len(sources[0])
        assert size > 0 and all(len(source) == size for source in sources)
        assert all(len(row) == width for row in rows)
        results: list[bytes] = [_new_bytes(None, size) for _ in rows]
        lookup = tables(b"".join(rows), width)
        inputs, outputs = [*map(_where, sources)], [*map(_where, results)]
        step = size if len(rows) <= _RESULTS_A_PASS else _STEP_BYTES
        for at in range(0, size, step):
            length = min(step, size - at)
            library.ec_encode_data(length, width, len(rows), lookup, _pointers(inputs, at), _pointers(outputs, at))
        return results

    return combine


def _where(buffer: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(buffer), ctypes.c_void_p).value or 0


def _pointers(starts: list[int], offset: int) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(starts))(*[start + offset for start in starts])
