"""Random interleavings of everything that services can suffer leave nothing behind.

One seed again: micropython tests/apps/interleave.py SEED 1, with lib/ in MICROPYPATH.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from kod import micropython
from simulated_device import ROOT

DEEP = os.environ.get("KODKOD_DEEP") == "1"
SEEDS = 1000 if DEEP else 100
# Those that have failed: deliveries and waits that outlived their apps, a proxy never told.
FAILED_ONCE = (6, 24, 41, 54, 154, 213)
# A stray pointer may keep the apps of one seed: about 120 KB.
NOISE = 200_000


def interleave(first: int, count: int, *options: str) -> str:
    path = os.pathsep.join([str(ROOT / "lib"), ".frozen"])
    program = ROOT / "tests" / "apps" / "interleave.py"
    run = subprocess.run(
        [*micropython.command(), "-X", "heapsize=8m", program, str(first), str(count), *options],
        env={**os.environ, "MICROPYPATH": path},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert run.returncode == 0, run
    return run.stdout


@pytest.mark.parametrize("first", range(1, SEEDS, 100))
def test_interleavings_end_with_empty_registries_and_the_heap_returns(first: int) -> None:
    said = interleave(first, 100)
    assert "seed" not in said, said
    calls, notifications = map(int, re.findall(r"(?:calls|notifications) (\d+)", said))
    assert calls > 15_000
    assert notifications > 10_000
    then, now = map(int, re.findall(r"heap (\d+) (\d+)", said)[0])
    assert now < then + NOISE


@pytest.mark.parametrize("first", range(1, SEEDS, 100))
def test_hooks_that_end_other_things_or_their_own_app_leave_nothing(first: int) -> None:
    said = interleave(first, 100 if DEEP else 40, "meddling")
    assert "seed" not in said, said


@pytest.mark.parametrize("options", [["struck"], ["struck", "meddling"]], ids=" ".join)
@pytest.mark.parametrize("first", range(1, SEEDS, 100))
def test_an_interrupt_that_strikes_anywhere_leaves_nothing(first: int, options: list[str]) -> None:
    said = interleave(first, 100 if DEEP else 60, *options)
    assert "seed" not in said, said


@pytest.mark.parametrize("first", range(1, SEEDS, 100))
def test_apps_whose_finally_blocks_get_no_time_leave_nothing(first: int) -> None:
    said = interleave(first, 100 if DEEP else 20, "hurried")
    assert "seed" not in said, said


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_seeds_that_failed_once(seed: int) -> None:
    assert "seed" not in interleave(seed, 1)


def test_the_heap_does_not_grow_with_the_number_of_interleavings() -> None:
    if not DEEP:
        pytest.skip("KODKOD_DEEP=1 runs it")
    then, now = map(int, re.findall(r"heap (\d+) (\d+)", interleave(1, 1000))[0])
    assert now < then + NOISE
