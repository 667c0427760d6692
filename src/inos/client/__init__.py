"""The client library: everything a program asks of a running node, over its local HTTP API.

Imports core only; never the network stack. See `inos.client.mesh.Mesh` for the calls.
"""
