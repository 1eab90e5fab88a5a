"""The same scenarios in three arrangements, with the same results, line by line.

tests/scenarios/transcript.txt is what each must say. After a change that is meant to change it:
micropython tests/scenarios/together.py tests/scenarios/transcript.txt, and read the difference.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kod import micropython
from simulated_device import ROOT, SimulatedDevice, director, until

SCENARIOS = ROOT / "tests" / "scenarios"
EXPECTED = (SCENARIOS / "transcript.txt").read_text()


def check(transcript: Path, said: str) -> None:
    """Compares what was written with what is expected; `said` is what was printed besides."""
    text = transcript.read_text() if transcript.exists() else ""
    assert text.splitlines() == EXPECTED.splitlines(), said[-3000:]


def test_every_scenario_says_what_came_of_it_and_leaves_nothing() -> None:
    headings = [line for line in EXPECTED.splitlines() if line.startswith("== ")]
    assert len(headings) == len(set(headings)) > 80
    assert "FAILED" not in EXPECTED
    assert "LEFT" not in EXPECTED


def test_client_and_provider_in_one_run(tmp_path: Path) -> None:
    transcript = tmp_path / "transcript.txt"
    path = os.pathsep.join([str(ROOT / "lib"), str(SCENARIOS), ".frozen"])
    run = subprocess.run(
        [*micropython.command(), SCENARIOS / "together.py", transcript],
        env={**os.environ, "MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    check(transcript, run.stdout + run.stderr)
    assert run.returncode == 0, run


def test_client_and_provider_as_two_apps_of_a_device(
    bench: SimulatedDevice, tmp_path: Path
) -> None:
    bench.clean()
    bench.kod("install", "director", director(tmp_path))
    bench.kod("install", "user", SCENARIOS / "user.py", "--restart", "never", "--no-wait")
    until(lambda: bench.states()["user"] != "running", seconds=60)
    check(bench.folder / "data" / "user" / "transcript.txt", bench.kod("logs", "user").out)
    assert bench.states() == {"director": "running", "user": "ended"}


def test_client_on_the_host_over_tcp(bench: SimulatedDevice, tmp_path: Path) -> None:
    bench.clean()
    bench.kod("install", "director", director(tmp_path))
    transcript = tmp_path / "transcript.txt"
    run = subprocess.run(
        [
            sys.executable,
            SCENARIOS / "on_host.py",
            bench.run_json["host"],
            str(bench.run_json["port"]),
            bench.settings["key"],
            transcript,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    check(transcript, run.stdout + run.stderr)
    assert run.returncode == 0, run
