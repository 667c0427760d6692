"""`python -m inos` is the `inos` command."""

from inos.cli.main import main

if __name__ == "__main__":
    main()
