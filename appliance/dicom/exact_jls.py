"""What a worker process runs: JPEG-LS of 9 to 15 bits with the true precision in the stream (pyjpegls).

pyjpegls holds Python's global lock for a whole frame, so it is never called where pictures are captured.
"""


def encode(samples: bytes, shape: tuple[int, ...], bits: int, near: int) -> bytes:
    """One JPEG-LS stream (ISO/IEC 14495-1) of little-endian 16-bit samples; `near` 0 is lossless.

    `shape` is (rows, columns) or (rows, columns, 3), colour by pixel.
    """
    import jpeg_ls  # here only, and in the worker only: it has no wheel for Python 3.14

    many = len(shape) == 3
    stream = jpeg_ls.encode_buffer(samples, shape[0], shape[1], 3 if many else 1, bits, near, 2 if many else None)
    return bytes(stream)
