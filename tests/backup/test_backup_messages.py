"""Messages and settings in a backup, and back: beside writers, over what was written since, damaged, of other roots."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from backup_roots import OTHER, PHRASE, Root, append, folder, made, pending, plain, text_of, write

from inos.backup.restore import Restorer
from inos.backup.snapshot import Snapshot
from inos.core.backups import KeySource
from inos.core.env import RealEnv
from inos.core.errors import Conflict, Corrupt, Locked, NewerFormat
from inos.core.messages.marks import Mark
from inos.core.messages.message import Draft, Message
from inos.core.messages.query import MessageQuery
from inos.core.messages.sync import Ack
from inos.daemon.backups import list_backup
from inos.messages.agent import open_agent
from inos.messages.cache import AgentCache
from inos.messages.cache_folder import open_cache
from inos.messages.hub_memory import OWED, Covered, decode_covered, memory_key
from inos.messages.sqlite_corpus import SqliteCorpus
from inos.store.dataroot import DataRoot
from inos.store.standing import Standing
from inos.store.swap import begin_swap

HUB = "018cc251-f400-7000-8000-000000000001"
URL = "postgresql://inos:secret@host/database"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = made(tmp_path)
    write(root, "scout", "one", "two", "three")
    with held(root, "desk") as cache:
        append(cache, "noted")
    (root.home / "config").mkdir()
    (root.home / "config/hub.yaml").write_text(f"store: {URL}\n")
    (root.home / "config/hub.yaml").chmod(0o600)
    (root.home / "config/node.yaml").write_text("role: coder\n")
    (root.home / "config/node.yaml").chmod(0o644)
    return root


def every(root: Root, agent: str) -> list[str]:
    with open_cache(folder(root, agent), agent, RealEnv()) as cache:
        return [text_of(each.message) for each in cache.query(MessageQuery(order="oldest", limit=500)).messages]


@contextmanager
def held(root: Root, agent: str) -> Iterator[AgentCache]:
    with root.open() as (disk, keyring):
        disk.files.make_folders(root.home, ["messages", "messages/held"])
        path = root.home / f"messages/held/{agent}.db"
        with closing(AgentCache(path, keyring.database_key(), agent, RealEnv())) as cache:
            yield cache


@contextmanager
def corpus_of(root: Root) -> Iterator[SqliteCorpus]:
    with root.open() as (_, keyring):
        (root.home / "messages").mkdir(exist_ok=True)
        with closing(SqliteCorpus(root.home / "messages/corpus.db", keyring.database_key(), RealEnv())) as corpus:
            yield corpus


def messages_of(agent: str, *numbers: int) -> list[Message]:
    return [
        Draft(agent=agent, content={"text": str(number)}).written(f"018cc251-f400-7000-8000-{number:012x}", number)  # type: ignore[arg-type]
        for number in numbers
    ]


def test_all_that_a_node_keeps_comes_back(root: Root, tmp_path: Path) -> None:
    """Into nothing, from the phrase; with modes, keys and what is not sent yet."""
    with open_agent("scout", home=root.home):  # it has its cache open, and the node's backup goes on beside it
        done = root.backup()
    assert (done.messages, done.config, done.damaged) == (2, 2, 0)
    assert done.left_out_names == ("config/hub.yaml: what a hub keeps in PostgreSQL is backed up there",)
    assert root.check().problems == () and list_backup(root.keys, str(root.dest))[0].whole
    fresh = Root(tmp_path / "fresh", root.dest)
    fresh.restore(keys=KeySource(fresh.home, None, PHRASE))
    assert pending(fresh, "scout") == ["one", "two", "three"]
    with held(fresh, "desk") as cache:
        assert [each.encoded for each in cache.outbox.take()] and cache.stats().messages == 1
    for name, mode in (("hub.yaml", 0o600), ("node.yaml", 0o644)):
        for home in (root.home, fresh.home):
            assert (home / "config" / name).stat().st_mode & 0o777 == mode
        assert (fresh.home / "config" / name).read_bytes() == (root.home / "config" / name).read_bytes()
    assert (folder(fresh, "scout") / "cache.key").stat().st_mode & 0o777 == 0o600
    assert not list((fresh.home / "messages").rglob("*-wal"))
    assert b"secret" not in b"".join(path.read_bytes() for path in root.dest.rglob("*") if path.is_file())


def test_what_did_not_change_costs_next_to_nothing(root: Root) -> None:
    write(root, "scout", *(plain(number, 700).hex() for number in range(2_000)))
    first = root.backup()
    again = root.backup()
    assert again.sent < 20_000 < first.sent
    write(root, "scout", "a little")
    assert root.backup().sent < first.sent / 8
    assert root.check().problems == ()


def test_a_restore_takes_no_message_away(root: Root) -> None:
    """Over a root that went on: what was written since is there, behind what the backup has, and goes out once."""
    first = root.backup().snapshot
    write(root, "scout", "four", "five")
    write(root, "newcomer", "hello")
    with held(root, "other") as cache:
        append(cache, "held later")
    with open_cache(folder(root, "scout"), "scout", RealEnv()) as cache:  # a hub has the first four for good
        batch = cache.outbox.take(4)
        results = SqliteCorpus(root.dest.parent / "hub.db", bytes(32), RealEnv())
        with closing(results) as hub:
            ack = Ack(HUB, tuple(hub.insert([Message.decode(each.encoded) for each in batch], 1)), 4)
        cache.outbox.settle(batch, ack, 1)
    root.restore(at=first[:12])
    assert every(root, "scout") == ["one", "two", "three", "four", "five"]
    assert pending(root, "scout") == ["one", "two", "three", "five"]
    assert pending(root, "newcomer") == ["hello"]
    with held(root, "other") as cache:
        assert cache.stats().pending == 1
    write(root, "scout", "six")
    assert every(root, "scout")[-2:] == ["five", "six"]


def test_an_agent_that_began_anew_keeps_both_beginnings(root: Root) -> None:
    root.backup()
    shutil.rmtree(folder(root, "scout"))
    write(root, "scout", "anew")
    root.restore()
    assert pending(root, "scout") == ["one", "two", "three", "anew"]


def test_what_cannot_be_brought_together_is_refused(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent that began anew by a clock that was set back: its messages would come before those of the backup."""
    root.backup()
    shutil.rmtree(folder(root, "scout"))
    with monkeypatch.context() as patched:
        patched.setattr(RealEnv, "now_s", lambda _self: 1_000_000_000.0)
        write(root, "scout", "long ago")
    before = (folder(root, "scout") / "cache.db").read_bytes()
    with pytest.raises(Conflict, match="two beginnings, and 1 messages here are on no hub") as refused:
        root.restore()
    assert "move" in refused.value.hint
    assert (folder(root, "scout") / "cache.db").read_bytes() == before
    shutil.rmtree(folder(root, "scout"))
    root.restore()
    assert pending(root, "scout") == ["one", "two", "three"]


def test_an_agent_at_work_is_in_the_way_of_a_restore(root: Root) -> None:
    root.backup()
    with open_agent("scout", home=root.home) as agent:
        agent.append({"text": "at work"})
        with pytest.raises(Locked, match="'scout' is at work"):
            root.restore()
    root.restore()
    assert every(root, "scout")[-1] == "at work"


def test_no_agent_writes_to_what_is_about_to_be_replaced(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.backup()
    with monkeypatch.context() as patched:
        patched.setattr("inos.daemon.backups.finish_swap", lambda _root: None)  # it dies right before
        root.restore()
    with pytest.raises(Locked, match="broken off"), open_agent("scout", home=root.home):
        pass
    root.contents()  # as a node that starts
    with open_agent("scout", home=root.home) as agent:
        agent.append({"text": "again"})
    assert pending(root, "scout") == ["one", "two", "three", "again"]


def test_an_agent_that_comes_at_the_very_end_goes_along(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier, it is in the way; later, it is refused; in between, what it has open moves with it."""
    root.backup()
    opened = ExitStack()

    shutil.rmtree(folder(root, "scout"))

    def at_the_end(*args: Any) -> None:
        for agent in ("late", "scout"):
            cache = opened.enter_context(open_cache(folder(root, agent), agent, RealEnv()))
            append(cache, "before")
            opened.callback(append, cache, "after")
        begin_swap(*args)

    with monkeypatch.context() as patched:
        patched.setattr("inos.daemon.backups.begin_swap", at_the_end)
        root.restore()
    with pytest.raises(Locked):
        pending(root, "late")
    opened.close()
    assert pending(root, "late") == ["before", "after"]
    assert pending(root, "scout") == ["one", "two", "three"]
    with open_cache(folder(root, "scout.lost-1"), "scout", RealEnv()) as cache:
        assert cache.stats().pending == 2

    def too_early(_restorer: Restorer) -> tuple[list[str], list[str]]:
        write(root, "newer", "hello")
        return [], []

    with monkeypatch.context() as patched:
        patched.setattr(Restorer, "names", too_early)
        with pytest.raises(Conflict, match="'newer' began to write meanwhile"):
            root.restore()
    root.restore()
    assert pending(root, "newer") == ["hello"]


def test_what_is_there_and_cannot_be_read_is_kept_beside(root: Root) -> None:
    root.backup()
    damaged = b"damaged" * 1000
    (folder(root, "scout") / "cache.db").write_bytes(damaged)
    with held(root, "desk"):
        pass
    (root.home / "messages/held/desk.db").write_bytes(damaged)
    root.restore()
    assert pending(root, "scout") == ["one", "two", "three"]
    assert (folder(root, "scout") / "cache.db.lost-1").read_bytes() == damaged
    assert (folder(root, "scout") / "cache.key.lost-1").exists()
    assert (root.home / "messages/held/desk.db.lost-1").read_bytes() == damaged
    root.restore()
    assert (folder(root, "scout") / "cache.db.lost-1").read_bytes() == damaged


def test_a_corpus_comes_back_as_another_one(root: Root, tmp_path: Path) -> None:
    """Its messages and marks, under another identity, with what the hub remembers but the right to go on alone."""
    with corpus_of(root) as corpus:
        corpus.insert(messages_of("a", 1, 2, 3), 1)
        corpus.mark([messages_of("a", 2)[0].id], "read", Mark(5, "me", on=True))
        before = corpus.identity
    remembered = Covered(seq=2, mark_seq=1, whole_term=7)
    remembered.taken.of("00000007-x/messages").add(1, 2)
    with root.open() as (disk, _):
        disk.settings.put({memory_key(before): remembered.encode()})
    first = root.backup().snapshot
    with corpus_of(root) as corpus:
        corpus.insert(messages_of("a", 4), 1)
        corpus.mark([messages_of("a", 1)[0].id], "archived", Mark(6, "me", on=True))
    fresh = Root(tmp_path / "fresh", root.dest)
    fresh.restore(keys=KeySource(fresh.home, None, PHRASE))
    root.restore(at=first[:12])
    identities = {before}
    for each, texts, marked in ((fresh, ["1", "2", "3"], 1), (root, ["1", "2", "3", "4"], 2)):
        with corpus_of(each) as corpus:
            assert [text_of(stored.message) for stored in corpus.after(0, 100)] == texts
            assert len(corpus.marks_after(0, 100)) == marked and corpus.database.check() == []
            identities.add(corpus.identity)
            identity = corpus.identity
        with each.open() as (disk, _):
            covered = decode_covered(disk.settings.get(memory_key(identity)) or b"")
            assert (covered.seq, covered.mark_seq, covered.whole_term) == (2, 1, 0)
            assert covered.taken.of("00000007-x/messages").has(1, 2) and disk.settings.get(OWED) == b"1"
    assert len(identities) == 3


def test_a_corpus_that_began_anew_is_brought_together_with_the_old_one(root: Root) -> None:
    with corpus_of(root) as corpus:
        corpus.insert(messages_of("a", 1, 2), 1)
    root.backup()
    (root.home / "messages/corpus.db").unlink()
    with corpus_of(root) as corpus:
        corpus.insert([*messages_of("a", 2, 3), *messages_of("b", 9)], 1)
    root.restore()
    with corpus_of(root) as corpus:
        assert [text_of(stored.message) for stored in corpus.after(0, 100)] == ["1", "2", "3", "9"]


def test_what_a_link_leads_to_is_said_not_to_be_in_it(root: Root, tmp_path: Path) -> None:
    (root.home / "messages/agents/scout").rename(tmp_path / "elsewhere")
    (root.home / "messages/agents/scout").symlink_to(tmp_path / "elsewhere")
    done = root.backup()
    assert "messages/agents/scout: a link is in it, not what it leads to" in done.left_out_names
    before = (tmp_path / "elsewhere/cache.db").read_bytes()
    root.restore()
    assert (root.home / "messages/agents/scout").is_symlink()
    assert (tmp_path / "elsewhere/cache.db").read_bytes() == before


def test_a_database_behind_a_link_is_left_alone(root: Root, tmp_path: Path) -> None:
    """Neither proven nor changed; and what stands in the place of the link by now is kept beside it."""
    with corpus_of(root) as corpus:
        corpus.insert(messages_of("a", 1), 1)
    place, there = root.home / "messages/corpus.db", tmp_path / "corpus.db"
    place.rename(there)
    place.symlink_to(there)
    before = there.read_bytes()
    root.backup()
    root.restore()
    assert place.is_symlink() and there.read_bytes() == before and root.check().problems == ()
    place.unlink()
    with corpus_of(root) as corpus:
        corpus.insert(messages_of("a", 2), 1)
    now = place.read_bytes()
    root.restore()
    assert place.is_symlink() and there.read_bytes() == before
    assert (root.home / "messages/corpus.db.lost-1").read_bytes() == now


def test_a_cache_that_cannot_be_read_keeps_nothing_else_out(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Standing.blocks

    def blocks(standing: Standing, size: int) -> Iterator[bytes]:
        yield from whole(standing, size)
        if list(standing.cursor.execute("SELECT 1 FROM sqlite_schema WHERE name = 'outbox'")):
            standing.read(size, standing.size_bytes)  # where nothing is

    with monkeypatch.context() as patched:
        patched.setattr(Standing, "blocks", blocks)
        done = root.backup()
    assert (done.damaged, done.messages) == (2, 0)
    assert done.left_out_names[0].startswith("messages/agents/scout/cache.db: cache.db ends at ")
    assert root.check().problems == ()


def test_a_check_proves_what_is_the_same_only_once(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("inos.backup.messages.prove", lambda path, *_: seen.append(path.name))
    root.backup()
    root.backup()
    write(root, "scout", "more")
    root.backup()
    assert root.check().problems == () and sorted(seen) == ["cache.db", "cache.db", "desk.db"]


def test_a_check_misses_no_damage_of_messages(root: Root) -> None:
    """A database that was stored damaged, and a cache without its key: no restore would do with them."""
    cache = folder(root, "scout") / "cache.db"
    sound = cache.read_bytes()
    cache.write_bytes(sound[:20_000] + bytes(4096) + sound[24_096:])
    name = root.backup().snapshot
    report = root.check()
    assert report.affected == (name,) and "messages/agents/scout/cache.db" in report.problems[0]
    with pytest.raises(Corrupt, match="agents/scout"):
        root.restore()
    cache.write_bytes(sound)
    key = (folder(root, "scout") / "cache.key").read_bytes()
    (folder(root, "scout") / "cache.key").unlink()
    done = root.backup()
    assert done.damaged == 1 and "agents/scout/cache.db: " in done.left_out_names[0]
    assert root.check().affected == (name,)
    (folder(root, "scout") / "cache.key").write_bytes(key)


def test_a_log_left_by_a_kill_is_in_the_backup(root: Root, tmp_path: Path) -> None:
    """Nobody has opened the cache since: what is in its log alone is acknowledged as well."""
    with open_cache(folder(root, "scout"), "scout", RealEnv()) as cache:
        append(cache, "in the log")
        shutil.copytree(folder(root, "scout"), folder(root, "killed"))
    write(root, "other", "x")
    shutil.rmtree(folder(root, "scout"))
    (folder(root, "killed")).rename(folder(root, "scout"))
    root.backup()
    fresh = Root(tmp_path / "fresh", root.dest)
    fresh.restore(keys=KeySource(fresh.home, None, PHRASE))
    assert pending(fresh, "scout") == pending(root, "scout") == ["one", "two", "three", "in the log"]


def test_an_older_snapshot_leaves_messages_and_settings(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Snapshot.encode
    with monkeypatch.context() as patched:
        patched.setattr(Snapshot, "encode", lambda self: encode(self).replace(b'{"version":2', b'{"version":1'))
        root.backup()
    assert not list_backup(root.keys, str(root.dest))[0].whole
    assert root.check().problems == ()
    write(root, "scout", "later")
    (root.home / "config/node.yaml").write_text("role: reasoner\n")
    root.restore()
    assert pending(root, "scout") == ["one", "two", "three", "later"]
    assert (root.home / "config/node.yaml").read_text() == "role: reasoner\n"


def test_an_older_program_refuses_a_newer_snapshot(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    root.backup()
    monkeypatch.setattr("inos.backup.snapshot.VERSION", 1)
    for work in (root.check, root.restore, lambda: list_backup(root.keys, str(root.dest))):
        with pytest.raises(NewerFormat, match="has format 2") as refused:
            work()
        assert "newer" in refused.value.hint


def test_messages_of_another_phrase_are_not_taken_for_ours(root: Root, tmp_path: Path) -> None:
    """A folder that holds nothing else: what does not open with our keys stays, beside."""
    root.backup()
    theirs = made(tmp_path / "theirs", OTHER)
    with held(theirs, "desk") as cache:
        append(cache, "theirs")
    kept = (theirs.home / "messages/held/desk.db").read_bytes()
    for path in theirs.home.iterdir():
        if path.name != "messages":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    root2 = Root(theirs.home, root.dest)
    root2.restore(keys=KeySource(theirs.home, None, PHRASE))
    assert (theirs.home / "messages/held/desk.db.lost-1").read_bytes() == kept
    with held(root2, "desk") as cache:
        assert cache.stats().messages == 1
    assert DataRoot(theirs.home).initialised()
