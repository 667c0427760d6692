"""Crypto: hashing, signing, sealing, and every key of an owner from one phrase.

Rules: pure (bytes in, bytes out; chance is handed in), the only layer that imports `cryptography`, `blake3` and
`mnemonic`, and nothing secret is ever printed, pickled or put into an error.
"""
