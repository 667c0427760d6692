"""`python -m fuzz --list` names the targets; `python -m fuzz TARGET [libFuzzer options]` runs one under atheris."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    if sys.argv[1:] == ["--list"]:
        from fuzz.targets import TARGETS

        print("\n".join(TARGETS))
        return
    import atheris

    with atheris.instrument_imports(include=["inos"]):
        from fuzz.targets import TARGETS, try_once
    name, options = sys.argv[1], sys.argv[2:]
    target = TARGETS[name]
    for corpus in (Path(option) for option in options if not option.startswith("-")):
        for number, sample in enumerate(target.samples()):
            (corpus / f"sample-{number}").write_bytes(sample)
    atheris.Setup([sys.argv[0], *options], lambda data: try_once(target, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
