"""Keys on real data roots: the phrase brings them back on another machine, the passphrase changes without touching
them, and nothing secret is on any disk."""

from __future__ import annotations

import random
import subprocess
import time
from pathlib import Path

import pytest
from e2e_machines import Done, everything_in, run_inos

from inos.cli.local_mesh import LocalNode, clean_environment, inos_command
from inos.core.component_keys import KEY_KINDS, KeyName
from inos.core.errors import WrongPassphrase
from inos.crypto.component_keys import ComponentKey
from inos.crypto.derive import Keyring
from inos.crypto.phrase import master_from_phrase
from inos.store.dataroot import DataRoot

COMPONENT = "org.example.wallet"
OLD, NEW = {"INOS_PASSPHRASE": "the old passphrase"}, {"INOS_PASSPHRASE": "a new passphrase"}


def derived(home: Path, environment: dict[str, str] | None = None) -> list[str]:
    """The public keys of a component, as the command prints them."""
    keys = []
    for kind in KEY_KINDS:
        arguments = ("--component", COMPONENT, "--kind", kind, "--index", "7", "--json", "--home", str(home))
        done = run_inos("keys", "derive", *arguments, environment=environment)
        assert done.code == 0, done.err
        keys.append(str(done.json["public_key"]))
    return keys


def kept(home: Path, passphrase: str | None = None) -> list[str]:
    """The public keys that the opened cocoon leads to; the command gives the first of them too."""
    keyring = DataRoot(home).unlock(passphrase).keyring
    keys = [ComponentKey(keyring, KeyName(COMPONENT, kind, 7)).public_key.hex() for kind in KEY_KINDS]
    environment = {"INOS_PASSPHRASE": passphrase} if passphrase else None
    done = run_inos(
        "keys", "derive", "--component", COMPONENT, "--index=7", "--home", str(home), environment=environment
    )
    assert (done.code, done.out.decode().strip()) == (0, keys[0]), done.err
    return keys


def init(home: Path, *options: str, phrase: str = "", environment: dict[str, str] | None = None) -> str:
    given = ("--phrase", "-") if phrase else ()
    done = run_inos(
        "init", "--home", str(home), "--json", *options, *given, stdin=phrase.encode(), environment=environment
    )
    assert done.code == 0, done.err
    return str(done.json["phrase"])


def change(home: Path, *options: str, environment: dict[str, str] | None = None) -> Done:
    return run_inos("passphrase", "--home", str(home), "--json", *options, environment=environment)


def test_the_phrase_brings_the_same_keys_to_another_machine(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    phrase = init(one, "--no-passphrase")
    assert len(phrase.split()) == 24
    assert init(other, phrase=phrase, environment=OLD) == ""
    first = derived(one)
    assert kept(other, OLD["INOS_PASSPHRASE"]) == first and len(set(first)) == len(KEY_KINDS)
    # A running node gives them too, without being told any secret.
    node = LocalNode(one, ())
    node.start()
    try:
        node.wait_ready()
        assert derived(one) == first
        key = ("--component", COMPONENT, "--index", "7")
        signed = run_inos("keys", "sign", "-", *key, "--json", "--home", str(one), stdin=b"m")
        assert signed.json["public_key"] == first[0]
    finally:
        node.stop()
    given = ("--public-key", first[0], "--signature", signed.json["signature"], "--home", str(tmp_path / "nowhere"))
    assert run_inos("keys", "verify", "-", *given, stdin=b"m").code == 0


def test_no_secret_is_on_the_disk(tmp_path: Path) -> None:
    home = tmp_path / "home"
    phrase = init(home, environment=OLD)
    keys = derived(home, OLD)
    master = master_from_phrase(phrase)
    keyring = Keyring(master)
    secrets = [master.reveal(), keyring.owner_key().reveal_seed(), OLD["INOS_PASSPHRASE"].encode()]
    for kind in KEY_KINDS:
        secrets.append(keyring.component_secret(COMPONENT, kind, 7, 48 if kind == "secp256k1" else 32))
        assert ComponentKey(keyring, KeyName(COMPONENT, kind, 7)).public_key.hex() in keys
    words = phrase.split()
    secrets += [" ".join(words[at : at + 2]).encode() for at in range(23)]
    files = list(everything_in([home]))
    assert {path.name for path, _ in files} >= {"cocoon", "inos.db", "node.json"}
    for path, data in files:
        for secret in (*secrets, *(each.hex().encode() for each in secrets)):
            assert secret not in data, f"{path} holds a secret"


def test_the_passphrase_changes_and_goes_and_comes_back_and_the_keys_stay(tmp_path: Path) -> None:
    home, new = tmp_path / "home", tmp_path / "new"
    new.write_text(NEW["INOS_PASSPHRASE"] + "\n")
    init(home, environment=OLD)
    keys = derived(home, OLD)
    before = {path.name: data for path, data in everything_in([home]) if path.name.startswith(("inos.db", "node.json"))}
    assert change(home, "--new-passphrase-file", str(new), environment=OLD).json["passphrase"] is True
    after = {path.name: data for path, data in everything_in([home]) if path.name.startswith(("inos.db", "node.json"))}
    assert after == before  # nothing was encrypted anew
    assert change(home, "--no-passphrase", environment=OLD).error["code"] == "wrong_passphrase"
    assert kept(home, NEW["INOS_PASSPHRASE"]) == keys
    assert change(home, "--no-passphrase", environment=NEW).json["passphrase"] is False
    assert kept(home) == keys
    assert change(home, "--new-passphrase-file", str(new)).json["passphrase"] is True
    assert not (home / "keyfile").exists()
    assert kept(home, NEW["INOS_PASSPHRASE"]) == keys


@pytest.mark.slow
def test_killed_while_the_passphrase_changes_the_old_or_the_new_one_opens_it(tmp_path: Path) -> None:
    home, new, old = tmp_path / "home", tmp_path / "new", tmp_path / "old"
    new.write_text(NEW["INOS_PASSPHRASE"])
    old.write_text(OLD["INOS_PASSPHRASE"])
    init(home, environment=OLD)
    keys = derived(home, OLD)
    chance = random.Random(5)
    current, other = old, new
    killed = 0
    for _ in range(12):
        files = ("--passphrase-file", str(current), "--new-passphrase-file", str(other))
        process = subprocess.Popen(
            inos_command("passphrase", "--home", str(home), *files), env=clean_environment(), stderr=subprocess.PIPE
        )
        time.sleep(chance.uniform(0.15, 0.9))
        process.kill()
        process.communicate()
        killed += process.returncode == -9
        opens = [file for file in (old, new) if _opens(home, file)]
        assert len(opens) == 1
        current, other = opens[0], new if opens[0] == old else old
    assert killed
    assert kept(home, current.read_text()) == keys


def _opens(home: Path, file: Path) -> bool:
    try:
        DataRoot(home).unlock(file.read_text())
    except WrongPassphrase:
        return False
    return True
