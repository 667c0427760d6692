"""References, names and targets: one spelling each, clear refusals, and no key in what is printed by accident."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inos.core.errors import BadInput, BadReference
from inos.core.ids import Cid, ContentDigest
from inos.core.object_names import MAX_NAME_BYTES
from inos.objects.reference import ObjectName, Reference, parse_target

digests = st.binary(min_size=32, max_size=32)
references = st.builds(Reference, digests.map(Cid), digests)
SAMPLE = Reference(Cid(bytes(range(32))), bytes(range(100, 132)))


@given(references)
def test_reference_round_trip(reference: Reference) -> None:
    text = str(reference)
    assert len(text) == 108
    assert Reference.parse(text) == reference
    assert parse_target(text) == reference


def test_reference_does_not_print_its_key() -> None:
    key_text = str(SAMPLE).partition("#")[2]
    assert key_text not in repr(SAMPLE)
    assert SAMPLE.key.hex() not in repr(SAMPLE)
    assert repr(SAMPLE.key) not in repr(SAMPLE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inos:",
        "inos:#",
        str(SAMPLE)[5:],
        str(SAMPLE)[:-1],
        str(SAMPLE) + "A",
        str(SAMPLE) + "=",
        str(SAMPLE).replace("#", ""),
        str(SAMPLE).partition("#")[0],
        str(SAMPLE).partition("#")[0] + "#",
        str(SAMPLE).upper(),
        " " + str(SAMPLE),
        str(SAMPLE) + "\n",
        str(SAMPLE)[:-1] + "B",  # stray bits in the last character
        str(SAMPLE)[:-2] + "é" + str(SAMPLE)[-1],
        str(SAMPLE)[:-2] + "+" + str(SAMPLE)[-1],
        "inos:/photos/a.jpg",
        "https://example.org",
    ],
)
def test_bad_references_say_what_to_do(text: str) -> None:
    with pytest.raises(BadReference) as caught:
        Reference.parse(text)
    assert caught.value.hint
    assert str(SAMPLE)[-30:-2] not in caught.value.message


@given(st.text(max_size=120))
def test_parsing_anything_ends_well(text: str) -> None:
    for parse in (Reference.parse, ObjectName.parse, parse_target):
        try:
            found = parse(text)
        except BadInput:
            continue
        if isinstance(found, Reference):
            assert str(found) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/photos/a.jpg", "/photos/a.jpg"),
        ("inos:/photos/a.jpg", "/photos/a.jpg"),
        ("photos/a.jpg", "/photos/a.jpg"),
        ("photos/", "/photos"),
        ("/-rf", "/-rf"),
        ("-rf", "/-rf"),
        ("/with space /two  spaces", "/with space /two  spaces"),
        ("/cafe\u0301", "/caf\u00e9"),
        ("/日本/😀.txt", "/日本/😀.txt"),
        ("/...", "/..."),
        ("/a#b", "/a#b"),
        ("/inos:/x", "/inos:/x"),
    ],
)
def test_names_are_normalised(text: str, name: str) -> None:
    found = parse_target(text)
    assert isinstance(found, ObjectName)
    assert found == name
    assert ObjectName.parse(found) == found


@pytest.mark.parametrize(
    "text",
    [
        "/", "", "//", "/a//b", "/.", "/a/..", "/../a", "./a", "/a/./b", "/a\0b", "/a\nb", "/a\x7f", "/a\x85b",
        "/\udcff", "/a\u2028b", "/" + "a" * MAX_NAME_BYTES, "/" + "é" * (MAX_NAME_BYTES // 2), "inos://a",
    ],
)  # fmt: skip
def test_bad_names_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        ObjectName.parse(text)


@given(st.text(max_size=60))
def test_accepted_names_are_safe_and_stable(text: str) -> None:
    try:
        name = ObjectName.parse(text)
    except BadInput:
        return
    assert ObjectName.parse(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert name.startswith("/")
    assert not {"", ".", ".."} & set(name.parts)
    assert "/" + "/".join(name.parts) == name
    assert len(name.encode()) <= MAX_NAME_BYTES


def test_longest_name() -> None:
    assert len(ObjectName.parse("/" + "a" * (MAX_NAME_BYTES - 1))) == MAX_NAME_BYTES


def test_child() -> None:
    assert ObjectName.parse("/a").child("b/c.txt") == "/a/b/c.txt"
    with pytest.raises(BadInput):
        ObjectName.parse("/a").child("../b")


def test_targets() -> None:
    cid = SAMPLE.cid
    assert parse_target(str(cid)) == cid
    assert parse_target(f"inos:{cid}") == cid
    assert isinstance(parse_target(f"/{cid}"), ObjectName)
    for wrong in (f"{cid}#abc", str(SAMPLE)[5:], "inos:nothing", f"inos:{cid}x", str(cid)[:-1] + "1"):
        with pytest.raises(BadReference):
            parse_target(wrong)
    with pytest.raises(BadInput):
        parse_target("")


def test_contents() -> None:
    digest = ContentDigest(bytes(range(32)))
    assert parse_target(f"sha256:{digest}") == digest == parse_target(f"sha256:{str(digest).upper()}")
    assert isinstance(parse_target(f"/sha256:{digest}"), ObjectName)
    for wrong in ("sha256:", f"sha256:{digest}0", f"sha256:{'g' * 64}", f"sha256: {digest}", "sha256:" + "٣" * 64):
        with pytest.raises(BadInput, match="not a SHA-256"):
            parse_target(wrong)
