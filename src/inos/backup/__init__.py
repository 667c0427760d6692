"""Backup: a data root's state, sealed and incremental, in a folder or at a URL, and back from there.

The format and its order of writing are in docs/format.md. Everything here blocks; long work comes as a generator of
steps, so that whoever runs it decides on the thread, shows how far it is, and may stop between two of them.
"""
