"""Objects: bytes in, bytes out. References, sealed chunks, erasure coding, Merkle roots and manifests.

Pure: no async, no I/O, no clock. What leaves here is what holders store; its layout is in docs/format.md.
"""
