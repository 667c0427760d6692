"""An installed version of a component as the row of `components` holds it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inos.components.manifest import Manifest
from inos.core.errors import BadInput, Conflict
from inos.core.rows.software import Component

# Hashes of older versions that are remembered; the row stays small however long a component is developed.
MAX_VERSIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Installed:
    """What was installed: its manifest, the hash of its files, what it was granted, the version that it took the place
    of ("" for none), and the hashes of all versions whose data is kept."""

    manifest: Manifest
    digest: str
    granted: tuple[str, ...] = ()
    before: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    installed_at_s: int = 0

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def version(self) -> str:
        return self.manifest.version

    def row(self) -> Component:
        """As the database holds it."""
        manifest = self.manifest
        kept = dict(list(self.digests.items())[-MAX_VERSIONS:])
        return Component(
            component_id=manifest.id,
            name=manifest.name,
            version=manifest.version,
            type="frontend" if manifest.kind == "static" else "backend",
            runtime=manifest.kind,  # type: ignore[arg-type]
            installed_at_s=self.installed_at_s,
            description=manifest.description,
            author=manifest.author,
            license=manifest.license,
            manifest={
                "manifest": manifest.to_dict(),
                "digest": self.digest,
                "granted": list(self.granted),
                "before": self.before,
                "digests": kept,
            },
            reference=self.reference,
        )


def installed_of(row: Component) -> Installed:
    """What a row says. Raises Conflict for one that was not written by an installation."""
    values: Mapping[str, Any] = row.manifest
    try:
        manifest = Manifest.from_row(values["manifest"])
        granted = tuple(each for each in values["granted"] if each in manifest.permissions)
        digests = {str(version): str(digest) for version, digest in dict(values["digests"]).items()}
        digest, before = str(values["digest"]), str(values["before"])
    except (KeyError, TypeError, ValueError, BadInput):
        raise Conflict(
            f"{row.component_id} was not installed here: its row was put in by hand",
            hint="install it: inos component install PACKAGE",
        ) from None
    return Installed(manifest, digest, granted, before, digests, row.reference, row.installed_at_s)


def upgraded(old: Installed | None, manifest: Manifest, digest: str) -> tuple[str, dict[str, str]]:
    """`before` and `digests` of what takes the place of `old`."""
    if old is None:
        return "", {manifest.version: digest}
    before = old.before if old.version == manifest.version else old.version
    return before, {**old.digests, manifest.version: digest}
