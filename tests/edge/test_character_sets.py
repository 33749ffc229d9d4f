"""Patient names in DICOM's encodings, and in those that devices write."""

from __future__ import annotations

import codecs

import pytest
from edge_seg.character_sets import _SINGLE_BYTE, CharacterSets
from hypothesis import given
from hypothesis import strategies as st

STANDARD: list[tuple[list[str], bytes, str]] = [
    # PS3.5 H.3.1
    (
        ["", "ISO 2022 IR 87"],
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    # PS3.5 H.3.2
    (
        ["ISO 2022 IR 13", "ISO 2022 IR 87"],
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    # PS3.5 I.2
    (
        ["", "ISO 2022 IR 149"],
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    # PS3.5 J.1, J.2, J.3
    (["ISO_IR 192"], "Wang^XiaoDong=王^小东=".encode(), "Wang^XiaoDong=王^小东="),
    (["GB18030"], "Wang^XiaoDong=王^小东=".encode("gb18030"), "Wang^XiaoDong=王^小东="),
    (["GBK"], "Wang^XiaoDong=王^小东=".encode("gbk"), "Wang^XiaoDong=王^小东="),
    # PS3.5 K.2
    (
        ["", "ISO 2022 IR 58"],
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
    (["ISO_IR 13"], b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
    (["ISO_IR 100"], "Jäger".encode("latin-1"), "Jäger"),
    (["ISO_IR 144"], "Люк".encode("iso8859_5"), "Люк"),
    (["ISO_IR 126"], "Διονυσιος".encode("iso8859_7"), "Διονυσιος"),
    (["ISO_IR 127"], "قباني^لنزار".encode("iso8859_6"), "قباني^لنزار"),
    (["ISO_IR 138"], "שרון^דבורה".encode("iso8859_8"), "שרון^דבורה"),
    (["ISO_IR 166"], "ไทย".encode("tis_620"), "ไทย"),
    (["ISO_IR 203"], "Œuvre €".encode("iso8859_15"), "Œuvre €"),
    (["ISO 2022 IR 6", "ISO 2022 IR 159"], b"\x1b$(DB@\x1b(B", "晪"),
    # A delimiter cancels an escape sequence.
    (["ISO 2022 IR 100", "ISO 2022 IR 149"], b"J\xe4ger=\x1b$)C\xfb\xf3^\xe4", "Jäger=洪^ä"),
    (["ISO 2022 IR 100", "ISO 2022 IR 144"], b"J\xe4ger\x1b-L\xbb\xee\xda", "JägerЛюк"),
    ([], b"Plain^Name", "Plain^Name"),
    ([""], b"Plain^Name", "Plain^Name"),
    (["ISO_IR 6"], b"Plain^Name", "Plain^Name"),
]


@pytest.mark.parametrize(("terms", "data", "text"), STANDARD)
def test_names_as_the_standard_encodes_them(terms: list[str], data: bytes, text: str) -> None:
    assert CharacterSets.declared(terms).decode(data) == (text, True)


@pytest.mark.parametrize(
    ("terms", "data", "text"),
    [
        # Without the escape sequences that the standard requires.
        (["", "ISO 2022 IR 58"], b"Zhang^XiaoDong=\xd5\xc5^\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
        (["ISO 2022 IR 149"], b"Hong=\xfb\xf3", "Hong=洪"),
        (["ISO 2022 IR 87"], b"\x1b$B;3ED\x1b(B", "山田"),
        (["ISO 2022 IR 13"], b"\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ"),
        (["ISO_IR 13"], "山田^太郎".encode("shift_jis"), "山田^太郎"),
        (["ISO_IR 13"], "髙橋^一郎".encode("cp932"), "髙橋^一郎"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], "山田^太郎".encode("shift_jis"), "山田^太郎"),
        # The first set is Latin-1, whatever may follow an escape sequence.
        (["ISO 2022 IR 100", "ISO 2022 IR 13"], b"Jos\xe9^Mar\xeda", "José^María"),
        # Misspelt.
        (["ISO IR 100"], b"J\xe4ger", "Jäger"),
        (["iso_ir_192"], "王".encode(), "王"),
        (["UTF-8"], "王".encode(), "王"),
        (["ISO 8859-5"], b"\xbb\xee", "Лю"),
        (["ISO 2022 GBK"], "王".encode("gbk"), "王"),
    ],
)
def test_names_as_devices_encode_them(terms: list[str], data: bytes, text: str) -> None:
    assert CharacterSets.declared(terms).decode(data) == (text, True)


@pytest.mark.parametrize(
    ("terms", "data", "text"),
    [
        ([], "Jäger".encode(), "Jäger"),
        ([], b"J\xe4ger", "Jäger"),
        (["ISO_IR 6"], b"J\xe4ger", "Jäger"),
        (["ISO_IR 100"], "王".encode(), "王"),
        (["ISO_IR 192"], b"J\xe4ger", "Jäger"),
        (["no such set"], b"J\xe4ger", "Jäger"),
        ([], b"Yamada=\x1b$Q;3", "Yamada=$Q;3"),
        # What Windows has in place of the declared set.
        (["ISO_IR 100"], "Škoda^Seán".encode("cp1252"), "Škoda^Seán"),
        (["ISO_IR 101"], "Šimić^Željko".encode("cp1250"), "Šimić^Željko"),
        ([], "Œuvre^X".encode("cp1252"), "Œuvre^X"),
        (["ISO_IR 144"], "Ђорђе^Љубица".encode("cp1251"), "Ђорђе^Љубица"),
        (["ISO_IR 126"], "Ελένη^“Λένα”".encode("cp1253"), "Ελένη^“Λένα”"),
        (["ISO_IR 127"], "پروين^ژاله".encode("cp1256"), "پروين^ژاله"),
        (["ISO_IR 138"], "שָׁלוֹם^דבורה".encode("cp1255"), "שָׁלוֹם^דבורה"),
        (["", "ISO 2022 IR 87"], "山田^太郎".encode("shift_jis"), "山田^太郎"),
        (["ISO 2022 IR 149"], "똠방".encode("cp949"), "똠방"),
        (["ISO 2022 IR 58"], "張^曉東".encode("gbk"), "張^曉東"),
        (["", "ISO 2022 IR 58"], b"\x1b$)A" + "朱镕基".encode("gbk"), "朱镕基"),
        # Of no set at all.
        (["ISO_IR 100"], b"\x81J\xe4ger", "\x81Jäger"),
    ],
)
def test_a_guess_is_told(terms: list[str], data: bytes, text: str) -> None:
    assert CharacterSets.declared(terms).decode(data) == (text, False)


@pytest.mark.parametrize("number", sorted(set(_SINGLE_BYTE) - {13}))
def test_what_is_valid_in_the_declared_set_keeps_its_meaning(number: int) -> None:
    decoder = codecs.getincrementaldecoder(_SINGLE_BYTE[number])("ignore")
    text = decoder.decode(bytes(range(0xA0, 0x100)))
    assert CharacterSets.declared([f"ISO_IR {number}"]).decode(text.encode(_SINGLE_BYTE[number])) == (text, True)


@given(st.lists(st.sampled_from([t for terms, _, _ in STANDARD for t in terms] + ["", "x"]), max_size=3), st.binary())
def test_nothing_raises(terms: list[str], data: bytes) -> None:
    text, _ = CharacterSets.declared(terms).decode(data)
    assert isinstance(text, str)
