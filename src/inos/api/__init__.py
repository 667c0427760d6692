"""The local HTTP API of a node: FastAPI behind a gate, on its own server loop, over a NodeService it is given."""
