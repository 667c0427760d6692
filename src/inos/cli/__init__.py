"""The `inos` command: parses, calls the client library or the node, and renders; it decides nothing."""
