"""kod simulate."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import Any

from kod.cli.output import Output, paint
from kod.cli.parse import heap_size, number
from kod.errors import NotThere


def _arguments(parser: argparse.ArgumentParser) -> None:
    from kod.simulate import DEFAULT_BAUD

    add = parser.add_argument
    add("--name", help="its name (default: the one on the flash, or sim)")
    add("--folder", type=Path, help="the folder that is its flash (default: one of kod's own)")
    add("--port", type=_port, default=0, help="TCP port on 127.0.0.1; 0 takes a free one")
    add("--heap", type=heap_size, help="size of its heap, as 160k or 2m")
    add(
        "--baud",
        type=number(0, "speed like 115200"),
        default=DEFAULT_BAUD,
        help="speed of its console, 0 without limit (default: %(default)s)",
    )
    add("--detach", action="store_true", help="run in the background; return when it is up")
    add("--stop", action="store_true", help="end the one that runs in the background")


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is no port; 0 to 65535")
    return int(text)


def _simulate(args: argparse.Namespace, out: Output) -> int:
    from kod import reading, simulate, simulated, simulated_flash

    if args.name is not None:
        simulated_flash.check_name(args.name)
    folder = reading.expanded(args.folder or simulated.default_folder(args.name or "sim"))
    if args.stop:
        return _stop(folder, out)
    flash = simulated_flash.prepare(folder, args.name, args.port)
    if args.detach:
        options = ["--port", str(flash.settings["port"]), "--baud", str(args.baud)]
        options += ["--heap", args.heap] if args.heap else []
        _announce(simulate.detach(flash, options), out)
        return 0
    show = None if out.as_json else _show
    simulator = simulate.Simulator(
        flash,
        heap=args.heap,
        baud=args.baud,
        show=show,
        started=lambda run: _announce(run, out),
    )
    code = simulator.run()
    out.note(f"simulated device '{flash.settings['name']}' has ended")
    return code


def _stop(folder: Path, out: Output) -> int:
    from kod import simulate

    run = simulate.stop(folder)
    if run is None:
        raise NotThere(f"no simulated device runs on {folder}")
    out.note("simulated device has ended")
    if out.as_json:
        out.json({"name": run["name"], "id": run["id"], "folder": str(folder), "running": False})
    return 0


def _announce(run: dict[str, Any], out: Output) -> None:
    if out.as_json:
        out.json(run)
        return
    name = paint(run["name"], "green", sys.stderr)
    out.note(f"simulated device {name} ({run['id']}) on {run['folder']}")
    out.note(f"  TCP     {run['host']}:{run['port']}")
    out.note(f"  console {run['console']}    (mpremote connect {run['console']})")


def _show(data: bytes) -> None:
    """Passes the console on to whoever reads this output, for as long as somebody does."""
    try:
        os.write(1, data)
    except BlockingIOError:
        pass
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


VERBS = {"simulate": (_arguments, _simulate)}
