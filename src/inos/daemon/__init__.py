"""Daemon: a node and its HTTP API in one process, from start to clean stop."""
