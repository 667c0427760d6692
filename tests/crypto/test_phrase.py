"""Seed phrases: BIP-39's published vectors, forgiving spelling, and errors that help without repeating the phrase."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inos.core.errors import BadInput
from inos.crypto.derive import MasterSecret
from inos.crypto.phrase import PHRASE_WORDS, master_from_phrase, new_phrase

# The vectors BIP-39 publishes (trezor/python-mnemonic, english): entropy, phrase, seed under the passphrase "TREZOR".
PUBLISHED = [
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art",
        "bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd30971"
        "70af7a4d73245cafa9c3cca8d561a7c3de6f5d4a10be8ed2a5e608d68f92fcc8",
    ),
    (
        "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
        "legal winner thank year wave sausage worth useful legal winner thank year wave sausage worth useful legal "
        "winner thank year wave sausage worth title",
        "bc09fca1804f7e69da93c2f2028eb238c227f2e9dda30cd63699232578480a40"
        "21b146ad717fbb7e451ce9eb835f43620bf5c514db0f8add49f5d121449d3e87",
    ),
    (
        "8080808080808080808080808080808080808080808080808080808080808080",
        "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor acoustic avoid "
        "letter advice cage absurd amount doctor acoustic bless",
        "c0c519bd0e91a2ed54357d9d1ebef6f5af218a153624cf4f2da911a0ed8f7a09"
        "e2ef61af0aca007096df430022f7a2b6fb91661a9589097069720d015e4e982f",
    ),
    (
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote",
        "dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e16"
        "13912f0a5b694407be899ffd31ed3992c456cdf60f5d4564b8ba3f05a69890ad",
    ),
    (
        "68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c",
        "hamster diagram private dutch cause delay private meat slide toddler razor book happy fancy gospel tennis "
        "maple dilemma loan word shrug inflict delay length",
        "64c87cde7e12ecf6704ab95bb1408bef047c22db4cc7491c4271d170a1b213d2"
        "0b385bc1588d9c7b38f1b39d415665b8a9030c9ec653d75e65f847d8fc1fc440",
    ),
    (
        "9f6a2878b2520799a44ef18bc7df394e7061a224d2c33cd015b157d746869863",
        "panda eyebrow bullet gorilla call smoke muffin taste mesh discover soft ostrich alcohol speed nation flash "
        "devote level hobby quick inner drive ghost inside",
        "72be8e052fc4919d2adf28d5306b5474b0069df35b02303de8c1729c9538dbb6"
        "fc2d731d5f832193cd9fb6aeecbc469594a70e3dd50811b5067f3b88b28c3e8d",
    ),
    (
        "066dca1a2bb7e8a1db2832148ce9933eea0f3ac9548d793112d9a95c9407efad",
        "all hour make first leader extend hole alien behind guard gospel lava path output census museum junior mass "
        "reopen famous sing advance salt reform",
        "26e975ec644423f4a4c4f4215ef09b4bd7ef924e85d1d17c4cf3f136c2863cf6"
        "df0a475045652c57eb5fb41513ca2a2d67722b77e954b4b3fc11f7590449191d",
    ),
    (
        "f585c11aec520db57dd353c69554b21a89b20fb0650966fa0a9d6f74fd989d8f",
        "void come effort suffer camp survey warrior heavy shoot primary clutch crush open amazing screen patrol group "
        "space point ten exist slush involve unfold",
        "01f5bced59dec48e362f2c45b5de68b9fd6c92c6634f44d6d40aab69056506f0"
        "e35524a518034ddc1192e1dacd32c1ed3eaa3c3b131c88ed8e7e54c49a5d0998",
    ),
]
PHRASE = PUBLISHED[5][1]
SHORT = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
SHORT_SEED = (
    "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e5349553"
    "1f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04"
)


@pytest.mark.parametrize(("entropy", "phrase", "seed"), PUBLISHED)
def test_published_vectors(entropy: str, phrase: str, seed: str) -> None:
    assert new_phrase(bytes.fromhex(entropy)) == phrase
    assert master_from_phrase(phrase, "TREZOR") == MasterSecret.from_seed(bytes.fromhex(seed))


def test_a_phrase_of_twelve_words_from_elsewhere_is_accepted() -> None:
    assert master_from_phrase(SHORT, "TREZOR") == MasterSecret.from_seed(bytes.fromhex(SHORT_SEED))


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_new_phrase_reads_back(entropy: bytes) -> None:
    phrase = new_phrase(entropy)
    assert len(phrase.split(" ")) == PHRASE_WORDS
    assert master_from_phrase(phrase) == master_from_phrase(phrase)


@pytest.mark.parametrize(
    "spelled",
    [f"  {PHRASE}\n", PHRASE.upper(), PHRASE.title(), PHRASE.replace(" ", "\n"), PHRASE.replace(" ", " \t ")],
)
def test_spacing_and_case_do_not_matter(spelled: str) -> None:
    assert master_from_phrase(spelled) == master_from_phrase(PHRASE)


def test_the_optional_passphrase_matters() -> None:
    assert master_from_phrase(PHRASE, "x") != master_from_phrase(PHRASE)


def test_a_wrong_word_is_named_with_its_place_and_what_it_may_be() -> None:
    with pytest.raises(BadInput, match=r"word 3 .*'bulett'") as caught:
        master_from_phrase(PHRASE.replace("bullet", "bulett"))
    assert "bullet" in caught.value.hint
    assert_silent(caught.value, besides="bullet")


def test_a_word_like_no_other_gets_no_guess() -> None:
    with pytest.raises(BadInput) as caught:
        master_from_phrase(PHRASE.replace("bullet", "7777"))
    assert "did you mean" not in caught.value.hint


def test_a_long_wrong_word_is_cut() -> None:
    with pytest.raises(BadInput, match="'aaaaaaaaaaaa…'"):
        master_from_phrase(PHRASE.replace("bullet", "a" * 300))


@pytest.mark.parametrize("wrong", [PHRASE.replace("panda", "eyebrow"), " ".join(sorted(PHRASE.split()))])
def test_words_that_do_not_fit_together(wrong: str) -> None:
    with pytest.raises(BadInput, match="checksum") as caught:
        master_from_phrase(wrong)
    assert "order" in caught.value.hint
    assert_silent(caught.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "0 words"),
        ("panda", "1 words"),
        (PHRASE.rsplit(" ", 1)[0], "23 words"),
        (PHRASE + " inside", "25 words"),
        (PHRASE.replace(" ", "-"), "1 words"),
        ("panda " * 100_000, "more text"),
    ],
)
def test_another_number_of_words(text: str, found: str) -> None:
    with pytest.raises(BadInput, match=found) as caught:
        master_from_phrase(text)
    assert_silent(caught.value)


@pytest.mark.parametrize("word", ["\ud800", "\0", "págína", "熊猫"])
def test_words_of_no_alphabet_of_ours(word: str) -> None:
    with pytest.raises(BadInput, match="word 1 "):
        master_from_phrase(PHRASE.replace("panda", word))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_entropy_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadInput, match="32 bytes"):
        new_phrase(b"e" * size)


def assert_silent(error: BadInput, besides: str = "") -> None:
    """No word of the phrase in what the error says; "word" itself is one of them in no vector used here."""
    said = f"{error} {error.hint} {error!r}".split()
    assert not {word for word in PHRASE.split() if word != besides} & {word.strip("'\",.?") for word in said}
