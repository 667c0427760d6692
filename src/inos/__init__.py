"""INOS: one private place over all your machines."""
