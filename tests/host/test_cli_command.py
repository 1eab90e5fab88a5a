"""The command line itself: overview, verbs, mistakes, options, exit codes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kod import cli, config
from kod.cli import parse
from kod.cli.output import Output, duration, size
from kod.cli.verbs import VERBS
from kod.errors import BadInput, UserError, exit_code
from kodkod import errors as device_errors

DEEP = "[" * 5000
LONG = "a" * 300 + ".py"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KOD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(list(argv))
    out, err = capsys.readouterr()
    return code, out, err


def test_help_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "--help")
    assert code == 0
    for verb in VERBS:
        assert f"\n  {verb} " in out
    assert said(capsys, "help")[1] == out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(capsys: pytest.CaptureFixture[str], verb: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: kod {verb} ")
    assert "--json" in out
    with pytest.raises(SystemExit):
        cli.main(["help", verb])
    assert capsys.readouterr().out == out


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        ([], "kod: a verb is missing; 'kod --help' lists them"),
        (["lst"], "kod: 'lst' is no verb of kod; did you mean 'list'?"),
        (["frobnicate"], "kod: 'frobnicate' is no verb of kod; 'kod --help' lists them"),
        (["container"], "kod: container is followed by install, uninstall or list"),
        (["container", "stop"], "kod: container is followed by install, uninstall or list"),
        (["stop"], "kod: stop: the following arguments are required: name"),
        (["list", "--nonsense"], "kod: list: unrecognized arguments: --nonsense"),
        (["list", "-d"], "kod: list: argument -d/--device: expected one argument"),
        (["install", "a b", "x.py"], "kod: install: argument name: 'a b' cannot name an app"),
        (["install", "../x", "x.py"], "kod: install: argument name: '../x' cannot name an app"),
        (["install", "x"], "kod: install: the following arguments are required: file;"),
        (["call", "x"], "kod: call: the following arguments are required: method;"),
        (["config"], "kod: config: the following arguments are required: what;"),
        (["install", "x", "y.py", "--interval", "soon"], "kod: install: argument --interval:"),
        (["install", "x", "y.py", "--restart", "maybe"], "kod: install: argument --restart:"),
        (["install", "x", "y.py", "-D", "=1"], "kod: install: argument -D/--define: '=1' has no"),
        (["install", "x", "y.py", "-D", f"k={DEEP}"], "kod: install: argument -D/--define: k: it"),
        (["install", "x", "y.py", "--interval", "9" * 400], "kod: install: argument --interval:"),
        (["call", "s", "m", DEEP], "kod: call: an argument cannot be sent: it nests too deep"),
        (["logs", "-n", "-1"], "kod: logs: argument -n/--lines: '-1' is no number from 0 up"),
        (["simulate", "--port", "²"], "kod: simulate: argument --port: '²' is no port"),
        (["simulate", "--heap", "²m"], "kod: simulate: argument --heap: '²m' is no size"),
        (["simulate", "--baud", "-5"], "kod: simulate: argument --baud: '-5' is no speed"),
        (["simulate", "--name", "host"], "kod: 'host' cannot name a device: -d host means"),
        (["simulate", "--folder", "~no-such/x"], "kod: ~no-such/x: nobody's home folder is known"),
        (["simulate", "--folder", __file__], f"kod: {__file__} is no folder"),
        (["flash", "--name", "sim"], "kod: 'sim' cannot name a device: -d sim means"),
        (["setup", "--name", "host"], "kod: 'host' cannot name a device: -d host means"),
        (["build", LONG], f"kod: {LONG}: cannot be read: File name too long"),
        (["install", "x", LONG], f"kod: {LONG}: cannot be read: File name too long"),
        (["run", LONG], f"kod: {LONG}: cannot be read: File name too long"),
        (["simulate", "--port", "70000"], "kod: simulate: argument --port: '70000' is no port"),
        (["simulate", "--heap", "lots"], "kod: simulate: argument --heap: 'lots' is no size"),
        (
            ["run", "x.py", "-d", "host", "--heap", "0"],
            "kod: run: argument --heap: '0' is no size",
        ),
        (["run", "x.py", "--heap", "1m"], "kod: --heap is for -d host"),
        (["run", "x.py", "-d", "host", "-d", "a"], "kod: 'host' is this computer: it goes with"),
        (["watch", "x.py", "-d", "host", "--all"], "kod: 'host' is this computer: it goes with"),
        (["list", "--all", "-d", "x"], "kod: --all and -d exclude each other"),
        (["list", "-d", "host"], "kod: this works on a device; 'host' is for kod run"),
        (["devices", "add", "1.2.3.4", "--key", "00"], "kod: --key is missing or is not 32 hex"),
        (["list", "--", "x"], "kod: list: takes no arguments behind --"),
        (["devices", "use"], "kod: devices use is followed by a device"),
        (["ping", "-n", "0"], "kod: ping: argument -n/--count: '0' is no number from 1 up"),
        (["ping", "-d", "bogus://x"], "kod: bogus://x is no URL that pyserial knows"),
    ],
)
def test_wrong_usage_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], line: str
) -> None:
    code, out, err = said(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["list", "-d", "nowhere"], "kod: no device 'nowhere' (known here: none)"),
        (["ping", "-d", "127.0.0.1:²"], "kod: no device '127.0.0.1:²'"),
        (["ping", "-d", f"{'a' * 300}.b"], "kod: no device 'aaaaaaaaaa"),
        (["list", "-d", "sim"], "kod: no simulated device runs; kod simulate starts one"),
        (["list", "-d", "127.0.0.1:1"], "kod: nothing answers at 127.0.0.1:1"),
        (["list"], "kod: no device is known here and none was heard; kod simulate starts one"),
        (["list", "--all"], "kod: no device is known here and none was heard"),
        (["devices", "forget", "x"], "kod: no device 'x' is known here; kod devices lists them"),
        (["devices", "add", "127.0.0.1:1", "--key", "0" * 32], "kod: nothing answers at 127.0.0"),
        (["scan", "x", "--timeout", "50ms"], "kod: no device 'x' was heard; kod scan shows"),
        (["simulate", "--stop"], "kod: no simulated device runs on "),
    ],
)
def test_no_such_device_is_one_line_and_3(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    line: str,
) -> None:
    monkeypatch.setattr("kod.choose.SCAN_S", 0.05)
    code, out, err = said(capsys, *argv)
    assert (code, out) == (3, "")
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_a_serial_port_where_no_kodkod_answers_is_one_line_and_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kod.reach._CABLE_MS", 300)
    master, slave = os.openpty()
    try:
        path = os.ttyname(slave)
        code, _, err = said(capsys, "list", "-d", path)
        assert code == 3
        assert err.startswith(f"kod: no Kodkod answers at {path} (")
        assert err.count("\n") == 1
    finally:
        os.close(master)
        os.close(slave)
    code, _, err = said(capsys, "list", "-d", "/dev/ttyNOPE9")
    assert code == 3
    assert err.startswith("kod: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["devices", "forget", "x"], "no device 'x' is known here; kod devices lists them"),
        (
            ["scan", "x", "--timeout", "50ms"],
            "no device 'x' was heard; kod scan shows those that are",
        ),
    ],
)
def test_an_error_is_json_too(
    capsys: pytest.CaptureFixture[str], argv: list[str], error: str
) -> None:
    code, out, err = said(capsys, *argv, "--json")
    assert json.loads(out) == {"code": code, "error": error, "type": "NotThere"}
    assert err.startswith("kod: ")


@pytest.mark.parametrize("argv", [("list",), ("run", "x.py"), ("build", "x.py")])
def test_a_folder_that_is_gone_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, argv: tuple[str, ...]
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    os.chdir(here)
    here.rmdir()
    assert said(capsys, *argv) == (
        1,
        "",
        "kod: the folder that you are in is gone; cd to one that is there\n",
    )


@pytest.mark.parametrize("argv", [("simulate", "--folder", "/proc/x"), ("simulate",)])
def test_what_this_computer_refuses_is_one_line_with_the_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    if len(argv) == 1:
        monkeypatch.setenv("KOD_HOME", "/proc/x")
    code, out, err = said(capsys, *argv)
    assert (code, out) == (1, "")
    assert err.startswith("kod: this computer says: No such file or directory: /proc/x")
    assert err.count("\n") == 1


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`command` in a shell, with `kod` for this one."""
    kod = f"{sys.executable} -m kod"
    return subprocess.run(
        ["/bin/bash", "-c", command.replace("kod ", f"{kod} ", 1)],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("kod devices >&-", 0),
        ("kod devices --json >&- 2>&-", 0),
        ("kod repl <&-", 2),
        ("kod config wifi add q <&-", 2),
        ("kod devices use x >&- <&-", 3),
    ],
)
def test_a_closed_stream_is_no_bug(command: str, code: int) -> None:
    done = shell(command)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command", ["kod version", "kod devices --json", "kod devices use x --json"]
)
def test_output_that_cannot_be_written_is_one_line(command: str) -> None:
    done = shell(f"{command} >/dev/full", PYTHONUNBUFFERED="")
    assert done.returncode == (3 if "use" in command else 1)
    assert done.stderr.startswith("kod: ")
    assert done.stderr.count("\n") == 1


def test_a_character_that_the_locale_lacks_is_escaped() -> None:
    done = shell("kod devices use ünï日本", PYTHONIOENCODING="ascii")
    assert done.returncode == 3
    assert done.stderr.startswith(r"kod: no device '\xfcn\xef\u65e5\u672c' is known here")


def test_a_pipe_among_files_is_refused_and_not_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "ok.py").write_text("print(1)")
    (tmp_path / "as").mkdir()
    os.mkfifo(tmp_path / "as" / "p")
    os.mkfifo(tmp_path / "p.kod")
    assert said(capsys, "build", "ok.py", "--assets", "as")[::2] == (
        2,
        "kod: as/p: cannot be read: it is no regular file\n",
    )
    assert said(capsys, "install", "a", "p.kod")[::2] == (
        2,
        "kod: p.kod cannot be read: it is no regular file\n",
    )


@pytest.mark.parametrize("verb", ["logs", "monitor", "top", "repl"])
def test_a_verb_for_one_device_does_not_offer_several(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    with pytest.raises(SystemExit):
        cli.main([verb, "--help"])
    out = capsys.readouterr().out
    assert "--device" in out
    assert "several" not in out
    assert "--all" not in out


def test_what_is_done_here_is_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    config.remember(config.Known("aabbccddeeff", "desk"))
    desk = {"name": "desk", "id": "aabbccddeeff"}
    code, out, _ = said(capsys, "devices", "use", "desk", "--json")
    assert (code, json.loads(out)) == (0, {**desk, "known": True})
    code, out, _ = said(capsys, "devices", "forget", "desk", "--json")
    assert (code, json.loads(out)) == (0, {**desk, "known": False})
    code, out, _ = said(capsys, "port", "clear", "--json")
    assert (code, json.loads(out)) == (0, {"chosen": None})


def test_a_device_without_a_key_names_the_next_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config.remember(config.Known("aabbccddeeff", "desk", host="127.0.0.1", port=1))
    assert said(capsys, "list", "-d", "desk")[::2] == (
        5,
        "kod: no key is known here for 'desk'; kod setup over its cable learns it, or makes one\n",
    )
    made = config.Known("aabbccddeeff", "box", host="127.0.0.1", port=1, folder=str(tmp_path))
    config.remember(made)
    assert said(capsys, "list", "-d", "box")[::2] == (
        5,
        f"kod: no key is known here for 'box'; end it, and kod simulate --folder {tmp_path} "
        "tells it\n",
    )


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_home: object = None) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(config, "devices", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(["devices"])


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(config, "devices", interrupted)
    assert cli.main(["devices"]) == 130


def test_options_stand_before_or_behind_the_verb() -> None:
    split = parse.split
    assert split(["-d", "desk", "--json", "list", "-x"]) == (
        ["-d", "desk", "--json"],
        "list",
        ["-x"],
    )
    assert split(["--device=desk", "list"]) == (["--device=desk"], "list", [])
    assert split(["--version"]) == ([], "version", [])


def test_a_quick_verb_loads_nothing_heavy() -> None:
    program = (
        "import sys, kod.cli; kod.cli.main(['version']);"
        "heavy = {'asyncio', 'esptool', 'mpremote', 'cryptography', 'serial', 'littlefs',"
        " 'subprocess', 'kod.link', 'kod.build'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "kod 0.1.0\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -u -m kod --help | true; exit ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("10s", 10_000),
        ("1500ms", 1500),
        ("1h30m", 5_400_000),
        ("0.5h", 1_800_000),
        ("2min", 120_000),
        ("1d", 86_400_000),
        ("10", 10_000),
        ("0", 0),
        ("2.5", 2500),
    ],
)
def test_durations(text: str, ms: int) -> None:
    assert parse.duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "soon", "-1", "10x", "s", "1 s", "1s2", "1e3", "--", "1,5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        parse.duration_ms(text)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a=1", ("a", 1)),
        ("a=1.5", ("a", 1.5)),
        ("a=true", ("a", True)),
        ("a=hello", ("a", "hello")),
        ("a=b=c", ("a", "b=c")),
        ('a="1"', ("a", "1")),
        ("a=[1,2]", ("a", [1, 2])),
        ("a", ("a", True)),
        ("a=", ("a", "")),
        (" a = x ", ("a", "x")),
    ],
)
def test_defines(text: str, pair: tuple[str, object]) -> None:
    assert parse.define(text) == pair


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0 ms"),
        (999, "999 ms"),
        (12_000, "12 s"),
        (184_000, "3 min 4 s"),
        (180_000, "3 min"),
        (7_500_000, "2 h 5 min"),
        (273_600_000, "3 d 4 h"),
    ],
)
def test_spans_of_time_as_people_say_them(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_sizes_as_people_say_them() -> None:
    assert [size(n) for n in (0, 999, 1000, 3900, 2_500_000)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "3.9 KB",
        "2.5 MB",
    ]


def test_tables_have_numbers_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    Output().table(("NAME", "N"), [("clock", 5), ("x", 1000)])
    assert capsys.readouterr().out == "NAME      N\nclock     5\nx      1000\n"


def test_every_device_error_has_an_exit_code() -> None:
    codes = {
        "AppNotFound": 3,
        "ServiceNotFound": 3,
        "VersionMismatch": 3,
        "UnknownMethod": 3,
        "CallTimeout": 4,
        "ServiceClosed": 4,
        "AuthFailed": 5,
        "StorageFull": 1,
        "ImageInvalid": 1,
        "RemoteError": 1,
    }
    for name, code in codes.items():
        assert exit_code(getattr(device_errors, name)("x")) == code, name
    assert exit_code(BadInput("x")) == 2
    assert exit_code(UserError("x")) == 1
    assert exit_code(ValueError("x")) is None
