"""The message corpus: agents write to their own disk at once, a hub gathers what they write, anyone finds it."""
