"""Messages as values: what agents write, what is made of it, what can be asked, and their JSON. Pure."""
