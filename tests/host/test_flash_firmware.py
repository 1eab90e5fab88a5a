"""The firmware file: read, told apart from others, fetched once, its hash checked."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import fake_firmware
import pytest
from kod import config
from kod.errors import BadInput, Unreachable, UserError
from kod.flash import boards, firmware

BOARD = boards.by_name("ESP32_GENERIC")
DATA = fake_firmware.for_board(BOARD)


class Server(http.server.ThreadingHTTPServer):
    """Offers `files` and counts what was asked for."""

    files: dict[str, bytes]
    asked: list[str]
    cut: int = 0  # bytes left out of each answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        data = self.server.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) - self.server.cut])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as serving:
        serving.files, serving.asked = {"/fw.bin": DATA}, []
        thread = threading.Thread(target=serving.serve_forever, args=(0.02,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def offered(server: Server, sha256: str = "", path: str = "/fw.bin") -> boards.Board:
    return replace(BOARD, firmware_url=server.url + path, firmware_sha256=sha256)


def test_a_file_says_its_chip_its_table_and_its_version(tmp_path: Path) -> None:
    path = tmp_path / "fw.bin"
    path.write_bytes(DATA)
    loaded = firmware.load(BOARD, str(path))
    assert (loaded.chip, loaded.offset, loaded.version) == ("esp32", 0x1000, "1.26.1")
    assert loaded.partitions == BOARD.partitions
    assert loaded.sha256 == hashlib.sha256(DATA).hexdigest()
    assert firmware.chip_of(str(path)) == "esp32"


@pytest.mark.parametrize("chip", ["esp32c3", "esp32s3", "esp32c6"])
def test_other_chips_start_at_the_beginning_of_the_flash(chip: str) -> None:
    board = boards.for_chip(chip)[0]
    loaded = firmware.parse(fake_firmware.for_board(board), "fw.bin", "")
    assert (loaded.chip, loaded.offset, loaded.partitions) == (chip, 0, board.partitions)


def test_firmware_of_another_chip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fw.bin"
    path.write_bytes(fake_firmware.for_board(boards.by_name("ESP32_GENERIC_C3")))
    with pytest.raises(UserError, match=r"fw\.bin is for ESP32-C3, the board ESP32_GENERIC has"):
        firmware.load(BOARD, str(path))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no ESP32 firmware"),
        (b"<html>not found</html>" * 9, "no ESP32 firmware"),
        (b"UF2\n" + b"\0" * 600, "is a UF2 file"),
        (fake_firmware.image("esp32", b"app" * 20000), "no partition table"),
        (DATA[:5000], "no partition table"),
        (DATA + b"\0" * 0x200000, "longer than its own partitions"),
        (DATA[:12] + b"\x63\0" + DATA[14:], "unknown chip"),
        (DATA[:60000], "is cut, before its program begins"),
        (DATA[:70000], "is cut, in the middle of its program"),
        (DATA[:-1], "is cut, in the middle of its program"),
        (DATA[:80000] + bytes([DATA[80000] ^ 1]) + DATA[80001:], "its own SHA-256 differs"),
        (DATA[:0xF000] + b"\xff" + DATA[0xF001:], "damaged, where its program should begin"),
    ],
)
def test_what_is_no_firmware_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "fw.bin"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=says):
        firmware.load(BOARD, str(path))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(BadInput, match=r"no firmware file nowhere\.bin"):
        firmware.load(BOARD, "nowhere.bin")


def test_a_url_is_fetched(server: Server) -> None:
    said: list[str] = []
    loaded = firmware.load(BOARD, server.url + "/fw.bin", said.append)
    assert loaded.data == DATA
    assert loaded.hash_state == "unknown"
    assert said == [f"downloading {server.url}/fw.bin"]


def test_the_boards_firmware_is_fetched_once(server: Server) -> None:
    board = offered(server)
    for _ in range(3):
        assert firmware.load(board, None).data == DATA
    assert server.asked == ["/fw.bin"]


def test_the_boards_hash_is_checked(server: Server) -> None:
    good = offered(server, hashlib.sha256(DATA).hexdigest())
    assert firmware.load(good, None).hash_state == "checked"
    assert firmware.load(good, None).hash_state == "checked"
    assert server.asked == ["/fw.bin"]


def test_a_hash_that_differs_stops_before_anything_is_written(server: Server) -> None:
    board = offered(server, "0" * 64)
    with pytest.raises(UserError, match=r"has the hash [0-9a-f]{64}, not the one"):
        firmware.load(board, None)
    with pytest.raises(UserError, match="has the hash"):  # nothing wrong was kept either
        firmware.load(board, None)
    assert len(server.asked) == 2


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Server, tmp_path: Path) -> None:
    board = offered(server, hashlib.sha256(DATA).hexdigest())
    firmware.load(board, None)
    (tmp_path / "cache" / "kod" / "firmware" / board.firmware_file).write_bytes(b"damaged")
    said: list[str] = []
    assert firmware.load(board, None, said.append).data == DATA
    assert "another hash" in said[0]


def test_a_cut_file_in_the_cache_is_fetched_again_also_where_no_hash_is_known(
    server: Server,
) -> None:
    board, told = offered(server), []
    firmware.load(board, None)
    kept = config.cache("firmware") / board.firmware_file
    kept.write_bytes(DATA[:70000])
    assert firmware.load(board, None, told.append).data == DATA
    assert any(f"{kept} is damaged: fetched again" in text for text in told)
    assert kept.read_bytes() == DATA


def test_an_unknown_hash_is_called_unknown(server: Server) -> None:
    assert firmware.load(offered(server), None).hash_state == "unknown"


def test_a_page_instead_of_firmware_does_not_get_into_the_cache(server: Server) -> None:
    server.files["/fw.bin"] = b"<html>please log in</html>" * 9
    with pytest.raises(BadInput, match="no ESP32 firmware"):
        firmware.load(offered(server), None)
    server.files["/fw.bin"] = DATA
    assert firmware.load(offered(server), None).data == DATA


def test_a_missing_page_says_what_to_do(server: Server) -> None:
    with pytest.raises(UserError, match=r"answers 404 .*--firmware FILE"):
        firmware.load(offered(server, path="/gone.bin"), None)


def test_a_download_that_breaks_off_is_no_firmware(server: Server) -> None:
    server.cut = 1000
    with pytest.raises(Unreachable, match="broke off"):
        firmware.load(offered(server), None)


def test_no_network_says_what_to_do() -> None:
    board = replace(BOARD, firmware_url="http://127.0.0.1:1/fw.bin")
    with pytest.raises(Unreachable, match=r"cannot be fetched: .*--firmware FILE"):
        firmware.load(board, None)


def test_a_development_version_is_read() -> None:
    table = BOARD.partitions
    data = fake_firmware.firmware("esp32", table, version="1.27.0-preview.12.g1a2b3c4")
    assert firmware.parse(data, "fw.bin", "").version == "1.27.0-preview.12.g1a2b3c4"
