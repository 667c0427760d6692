"""Killing real processes at every change they make to a disk, and taking its power away: `python -m crash`."""
