"""Compiled loops: kept on the disk from one process to the next, until what is inside changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rivc.compiled import UNUSED_S, digest, is_kept, remove_unused

pytest.importorskip("numba")

ROOT = Path(__file__).parents[1]
RUN = """
import numba, numpy as np
from rivc.quant.windows import pad, windows_of
pad(np.ones(4, np.uint8), windows_of((2, 2, 1)), np.zeros(4, np.uint8))
stats = pad.stats
print(sum(stats.cache_misses.values()), stats.cache_path, numba.config.CACHE_DIR, sep="|")
"""
BROKEN = """
import numba
def njit(**options): raise RuntimeError("no locator\\n available")
numba.njit = njit
from rivc.errors import MissingError
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one folder of loops and one without."""
    for name, text in (
        ("loops/outer.py", "from a.loops.inner import f\n\n\n@compiled\ndef g(): return f()\n"),
        ("loops/inner.py", "def f(): return 1\n"),
        ("plain/other.py", "def compiled(): pass\n"),
    ):
        path = tmp_path / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "a"


def run(code: str, **environment: str) -> str:
    """Run code in a fresh process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_change_of_what_a_loop_calls_changes_the_digest(package: Path) -> None:
    before = digest(package)
    assert digest(package) == before
    (package / "loops" / "inner.py").write_text("def f(): return 2\n")
    assert digest(package) != before


def test_a_change_where_no_loops_are_does_not(package: Path) -> None:
    before = digest(package)
    (package / "plain" / "other.py").write_text("def compiled(): return 1\n")
    assert digest(package) == before


@pytest.mark.parametrize("decorator", ["compiled", "reordered", "inlined", "loop"])
def test_every_decorator_of_loops_counts(decorator: str, package: Path) -> None:
    other = package / "plain" / "other.py"
    other.write_text(f"\n@{decorator}\ndef g(): return 1\n")
    before = digest(package)
    other.write_text(f"\n@{decorator}\ndef g(): return 2\n")
    assert digest(package) != before


def test_folders_behind_links_count(package: Path, tmp_path: Path) -> None:
    (package / "loops").rename(tmp_path / "elsewhere")
    (package / "loops").symlink_to(tmp_path / "elsewhere")
    before = digest(package)
    (tmp_path / "elsewhere" / "inner.py").write_text("def f(): return 2\n")
    assert digest(package) != before


def test_brackets_in_the_path_are_letters(package: Path, tmp_path: Path) -> None:
    moved = package.rename(tmp_path / "a [1] *")
    before = digest(moved)
    (moved / "loops" / "inner.py").write_text("def f(): return 2\n")
    assert digest(moved) != before


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    """And numba is left as it was, for other libraries."""
    first, second = (run(RUN, NUMBA_CACHE_DIR=str(tmp_path)).split("|") for _ in range(2))
    assert (first[0], second[0]) == ("1", "0")
    [folder] = (tmp_path / "rivc").iterdir()
    assert first[1:] == second[1:] == [first[1], str(tmp_path)]
    assert Path(first[1]).parent == folder


@pytest.mark.skipif(sys.platform != "linux", reason="other systems name the folder otherwise")
def test_the_default_is_the_cache_of_the_user(tmp_path: Path) -> None:
    kept = run(RUN, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path)).split("|")
    assert Path(kept[1]).is_relative_to(tmp_path / "rivc")
    assert not kept[2]


def test_where_nothing_can_be_written_numba_takes_another_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _, folder, _ = run(RUN, NUMBA_CACHE_DIR=str(tmp_path / "file" / "below")).split("|")
    assert Path(folder).is_dir()
    assert not Path(folder).is_relative_to(tmp_path)


def test_folders_out_of_use_are_removed(tmp_path: Path) -> None:
    for name in ("loops-old", "loops-new", "other"):
        (tmp_path / name / "inside").mkdir(parents=True)
    old = (tmp_path / "loops-new").stat().st_mtime - UNUSED_S - 60
    for name in ("loops-old", "other"):
        os.utime(tmp_path / name, (old, old))
    remove_unused(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"loops-new", "other"}


def test_cameras_say_in_one_line_what_they_miss() -> None:
    said = run(
        f"{BROKEN}\ntry: import rivc.envs.cameras.shading\nexcept MissingError as e: print(e)"
    )
    assert "RuntimeError: no locator available" in said
    assert said.endswith("or set NUMBA_CACHE_DIR to a folder that can be written to")
    assert "\n" not in said


def test_where_numba_does_not_work_training_is_left_to_torch() -> None:
    said = run(
        f"{BROKEN}\nimport torch\nfrom rivc.nets import build_network\n"
        "from rivc.train import load_config\nfrom rivc.train.learners import make_learner\n"
        "net = build_network('mlp', input_shape=(3,), action_layout=(1, 2), hidden=(4,), seed=0)\n"
        "net(torch.zeros(1, 3)).sum().backward()\n"
        "print(type(make_learner(load_config('quickstart'), net)).__name__)"
    )
    assert said == "Learner"


def test_what_was_compiled_is_known_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rivc.compiled._folder", lambda _: str(tmp_path))
    assert not is_kept("loops.twice")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "loops.twice-3.py311.nbi").touch()
    assert is_kept("loops.twice")
    assert not is_kept("loops.thrice")
