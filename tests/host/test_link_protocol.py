"""docs/protocol.md says what the code does: its vectors and tables, checked without that code."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from kod import link, link_console, messages
from kodkod import errors, message
from kodkod.link import frames, line, session

PAGE = (Path(__file__).parent.parent.parent / "docs" / "protocol.md").read_text(encoding="utf-8")


def vector() -> dict[str, bytes]:
    """The test vector of TCP: name to bytes, words between colons and digits left out."""
    block = PAGE.split("### Test vector")[1].split("```")[1]
    found: dict[str, bytes] = {}
    name = ""
    for row in block.strip().splitlines():
        name = row[:16].strip() or name
        words = re.sub(r"message [0-9a-f]+:|empty message:|,.*", "", row[16:])
        found[name] = found.get(name, b"") + bytes.fromhex(words)
    return found


def digest(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def test_handshake_vector() -> None:
    said = vector()
    key, both = said["key"], said["host says"] + said["device says"]
    assert said["device's proof"] == digest(key, b"kodkod proof D" + both)
    assert said["host's proof"] == digest(key, b"kodkod proof H" + both)
    assert said["session"] == digest(key, b"kodkod session" + both)
    for name in ("encrypt H", "protect H", "encrypt D", "protect D"):
        assert said[name] == digest(said["session"], name.encode()), name


def test_frame_vectors() -> None:
    said = vector()
    for letter, sent in (
        ("H", [(bytes.fromhex("920401"), said["host frame 1"]), (b"", said["host frame 2"])]),
        ("D", [(bytes.fromhex("920880"), said["device frame 1"])]),
    ):
        chain = Cipher(algorithms.AES(said[f"encrypt {letter}"]), modes.CBC(bytes(16))).encryptor()
        for count, (content, expected) in enumerate(sent, 1):
            plain = said["random bytes"] + len(content).to_bytes(2, "big") + content
            secret = chain.update(plain + bytes(-len(plain) % 16))
            frame = len(secret).to_bytes(2, "big") + secret
            mac = digest(said[f"protect {letter}"], count.to_bytes(8, "big") + frame)[:16]
            assert frame + mac == expected


def test_console_vectors() -> None:
    rows = PAGE.split("content              frame")[1].split("```")[0].strip().splitlines()
    for content, row in zip((b"", b"\0", b"kod"), rows, strict=True):
        expected = bytes.fromhex(row[21:])
        assert bytes(frames.frame(content)) == expected
        assert binascii.crc32(content).to_bytes(4, "little") in expected or not content


def test_beacon_vector() -> None:
    words, text = PAGE.split("## Discovery")[1].split("```")[1].strip().splitlines()
    assert message.unpack(bytes.fromhex(words)) == eval(text)


def test_kinds() -> None:
    named = dict(re.findall(r"^\| \d+ ([A-Z]+) \| \w+ \| `\[(\d+)", PAGE, re.MULTILINE))
    assert len(named) == 12
    for name, number in named.items():
        assert getattr(messages, name) == getattr(session, "_" + name) == int(number)


def test_codes_of_errors() -> None:
    table = PAGE.split("### Errors")[1].split("16 is any other")[0]
    codes = {name: int(code) for code, name in re.findall(r"(\d+) ([A-Z]\w+)", table)}
    assert len(codes) == 24
    for name, code in codes.items():
        assert getattr(errors, name).code == code
    assert isinstance(errors.from_wire(24, "newer"), errors.RemoteError)


def test_numbers_that_are_named() -> None:
    for text, value in (
        (r"at most (\d+) bytes each", session._PAYLOAD),
        (r"at most (\d+) may be unanswered", session._REQUESTS),
        (r"more than (\d+) bytes. CLOSED", session._PAYLOAD - session._NOTE_HEAD),
        (r"with at most (\d+) bytes of messages", session._REQUEST_BYTES),
        (r"beyond (\d+) open clients", session._CLIENTS),
        (r"A link begins with (\d+)", session._CREDITS),
        (r"keeps up to (\d+) events", session._EVENTS),
        (r"events and (\d+) bytes", session._EVENT_BYTES),
        (r"no message for (\d+) s", session._SILENT_S),
        (r"not be sent within (\d+) s", session._STUCK_S),
        (r"said nothing for (\d+) s", link.PING_S),
        (r"nothing came for (\d+) s", link.SILENT_S),
        (r"gives it (\d+) s more", link._GRACE_S),
        (r"`kod`: (\d+) at a time", link._CREDIT_EVERY),
        (r"in pieces: (\d+) bytes", link_console.PIECE),
        (r"device at most (\d+) bytes", link_console.WINDOW),
        (r"acknowledged for (\d+) ms", line._PATIENCE_MS),
    ):
        found = re.findall(text, PAGE)
        assert [float(number) for number in found] == [value], text
    assert (messages.PAYLOAD, messages.MAX_REQUESTS) == (session._PAYLOAD, session._REQUESTS)
    assert messages.MAX_REQUEST_BYTES == session._REQUEST_BYTES


def test_flags_of_packets() -> None:
    named = dict(
        re.findall(r"^\| (\d+) ([A-Z]+) \| .", PAGE.split("### Packets")[1], re.MULTILINE)
    )
    assert {name: int(flag) for flag, name in named.items()} == {
        name: getattr(line, name) for name in ("DATA", "LAST", "ASK", "ANSWER", "END", "START")
    }


def test_opening() -> None:
    wire = link_console.opening(b"0123456789abcdef")
    assert wire[2:-5] == b"~@  kodkod 1 1 0123456789abcdef"
