"""Vault: what a user calls storage. Putting, getting and removing objects, and the catalogue of their names."""
