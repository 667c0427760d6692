"""Core: identifiers, errors, the environment door, the worker supervisor and the schema codec.

Everything imports this layer; it imports nothing of INOS.
"""
