"""Conformance suites: one class of tests for each contract, run on every implementation of it."""
