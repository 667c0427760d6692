"""Fuzzing of every decoder. `targets.py` names them. `make fuzz` runs each under atheris for long,
tests/test_fuzz_smoke.py under Hypothesis for a moment."""
