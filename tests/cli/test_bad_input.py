"""Whatever is wrong with a request is told in one line, with exit code 2, and changes nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from click.testing import Result

    Break = Callable[[Path], object]


class Picture(gym.Env[Any, Any]):
    """Observes an image."""

    observation_space = gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    action_space = gym.spaces.Discrete(2)


class Dictionary(Picture):
    """Has an action space that no argmax can serve."""

    action_space = gym.spaces.Dict(a=gym.spaces.Discrete(2))  # type: ignore[assignment]


@pytest.fixture(autouse=True, scope="module")
def _environments() -> None:
    gym.register("test/Picture-v0", Picture)
    gym.register("test/Dictionary-v0", Dictionary)


@dataclass(frozen=True)
class Case:
    """A request that is refused.

    Attributes:
        says: what the line must hold.
        words: of the command line; the folder holds tiny.yaml, run/, export/ and new/.
        breaks: spoils the folder first.
        variables: of the process.
    """

    says: str
    words: Sequence[str]
    breaks: Break = lambda _: None
    variables: dict[str, str] = field(default_factory=dict)


def train(*options: str, says: str, variables: dict[str, str] | None = None) -> Case:
    return Case(
        says, ["train", "tiny.yaml", "--run", "new/run", *options], variables=variables or {}
    )


def config(text: str | bytes, says: str) -> Case:
    """A configuration file that is refused."""
    data = text if isinstance(text, bytes) else text.encode()
    return Case(
        says, ["train", "bad.yaml"], breaks=lambda here: (here / "bad.yaml").write_bytes(data)
    )


def resume(breaks: Break, says: str = "is damaged") -> Case:
    return Case(says, ["resume", "run"], breaks)


def program(breaks: Callable[[bytes], bytes], says: str = "program.npz") -> Case:
    """A program file that is refused, wherever it is read."""

    def spoil(here: Path) -> None:
        path = here / "export" / "program.npz"
        path.write_bytes(breaks(path.read_bytes()))

    return Case(says, ["verify", "export"], spoil)


def in_file(name: str, change: Callable[[bytes], bytes]) -> Break:
    """Change a file, by name or, for a checkpoint, the newest one of this name."""

    def spoil(here: Path) -> None:
        path = sorted(here.glob(name))[-1]
        path.write_bytes(change(path.read_bytes()))

    return spoil


def before_the_last_colon(data: bytes) -> bytes:
    return data[: data.rindex(b":")]


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def altered(data: bytes) -> bytes:
    at = 2 * len(data) // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def lists_a_block_that_is_gone(data: bytes) -> bytes:
    tree = json.loads(data)
    tree["replay"]["blocks"] = [f"000000-{'0' * 64}.safetensors"]
    return json.dumps(tree).encode()


def empty_archive(_: bytes) -> bytes:
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    return buffer.getvalue()


def pickled(_: bytes) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"program.json": np.array([print], dtype=object)})
    return buffer.getvalue()


def boasting(data: bytes) -> bytes:
    """Let the archive claim that a member unpacks to 4 GB."""
    at = data.index(b"PK\x01\x02")
    return data[: at + 24] + (2**32 - 2).to_bytes(4, "little") + data[at + 28 :]


def vast(_: bytes) -> bytes:
    """An array of a few bytes that claims to have 10^12 entries."""
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (10**12,)}
    np.lib.format.write_array_header_1_0(header, shape)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("program.json.npy", header.getvalue() + b"{}")
    return buffer.getvalue()


CHECKPOINT = "run/checkpoints/[0-9]*"
NO_GL = {"MUJOCO_GL": "disable"}
TRACKER = ("--env.id", "rivc/VisualTracker-v0")

CASES = {
    # the command line
    "unknown verb": Case("did you mean 'train'", ["trian"]),
    "unknown option": train("--train.gap_cof", "1", says="did you mean '--train.gap_coef'"),
    "option of another verb": Case("has no option '--states'", ["eval", "run", "--states", "3"]),
    "missing argument": Case("missing argument", ["train"]),
    "argument too many": train("more", says="unexpected extra argument (more)"),
    "option without a value": train("--env.kwargs.size", says="requires an argument"),
    "value that is not YAML": train("--net.hidden", "[1", says="not YAML"),
    "no episodes": Case("--episodes", ["eval", "run", "--episodes", "0"]),
    "unknown policy": Case("'best', 'latest'", ["eval", "run", "--policy", "last"]),
    # the configuration
    "missing config": Case("no configuration 'nothing.yaml'", ["train", "nothing.yaml"]),
    "misspelt config": Case("did you mean 'quickstart'", ["train", "quikstart"]),
    "folder as config": Case("no configuration 'run'", ["train", "run"]),
    "unknown key": config("train: {gap_cof: 1}", "did you mean 'train.gap_coef'"),
    "unknown section": config("trian: {}", "did you mean 'train'"),
    "key that is a number": config("1: 2", "bad.yaml"),
    "value where keys belong": config("train: 3", "train"),
    "broken YAML": config("train: {", "is not YAML"),
    "YAML of a list": config("[1, 2]", "not a list"),
    "bytes that are no text": config(b"\xff\xfe\x00", "cannot read bad.yaml"),
    "wrong type": train("--train.gap_coef", "lots", says="valid number"),
    "out of range": train("--train.gap_coef", "2", says="less than or equal to 1"),
    "negative seed": train("--seed", "-1", says="greater than or equal to 0"),
    "key below a value": train("--env.kwargs", "3", "--env.kwargs.a", "1", says="holds a value"),
    # the task
    "unknown env": train("--env.id", "CartPole-v9", says="did you mean 'CartPole-v"),
    "unknown module": train("--env.id", "no_such:Env-v0", says="'no_such' does not import"),
    "unknown env option": train("--env.kwargs.speed", "3", says="has no option 'speed'"),
    "continuous actions without bins": train("--env.id", "Pendulum-v1", says="set bins"),
    "bins on a discrete space": train("--env.bins", "3", says="leave bins out"),
    "actions of an unknown kind": train("--env.id", "test/Dictionary-v0", says="action space"),
    "missing GL library": train(*TRACKER, "--env.kwargs.camera", "gl", says="gl", variables=NO_GL),
    # network and chip
    "convolutions on a vector": train("--net.conv", "[[8, 3, 2]]", says="rank 3"),
    "no convolutions on an image": train("--env.id", "test/Picture-v0", says="net.conv is empty"),
    "unknown profile": train("--quant.profile", "akida11", says="did you mean 'akida1'"),
    "width the profile does not hold": train(
        "--quant.profile", "akida1", "--quant.weight_bits", "3", says="weight_bits 2, 4, not 3"
    ),
    "unknown back end": train("--backend", "emulater", says="did you mean 'emulator'"),
    "unknown back end option": train("--backend.options.speed", "3", says="does not take"),
    "unknown back end to evaluate": Case(
        "did you mean 'snntorch'", ["eval", "run", "--backend", "snntorc"]
    ),
    "unknown back end to verify": Case(
        "unknown backend 'chip'", ["verify", "export", "--backend", "chip"]
    ),
    # folders
    "run folder that exists": Case("already holds a run", ["train", "tiny.yaml", "--run", "run"]),
    "run folder below a file": Case(
        "cannot make the run folder", ["train", "tiny.yaml", "--run", "tiny.yaml/run"]
    ),
    "resume of nothing": Case("no run at new", ["resume", "new"]),
    "evaluation of nothing": Case("no run at nothing", ["eval", "nothing"]),
    "verification of nothing": Case("neither an export nor a run", ["verify", "new"]),
    "evaluation without a program": Case(
        "no best program", ["eval", "run", "--policy", "best"], lambda here: forget(here / "run")
    ),
    "export without a program": Case(
        "no latest program", ["export", "run", "--out", "new/x"], lambda here: forget(here / "run")
    ),
    "export of an unknown format": Case(
        "there is: program", ["export", "run", "--format", "c98", "--out", "new/x"]
    ),
    "export with a prefix that C does not take": Case(
        "prefix '2arm' is no C identifier",
        ["export", "run", "--format", "c99", "--prefix", "2arm", "--out", "new/x"],
    ),
    "an unknown bench": Case("no bench 'c98'; there is: acting, c99", ["bench", "c98"]),
    "export over a run": Case("rivc: run holds other", ["export", "run", "--out", "run"]),
    "export over an export and more": Case(
        "holds other files",
        ["export", "run", "--out", "export"],
        lambda here: (here / "export" / "mine.txt").write_text("mine"),
    ),
    "export over a file": Case("is a file", ["export", "run", "--out", "tiny.yaml"]),
    "export below a file": Case("cannot write", ["export", "run", "--out", "tiny.yaml/x"]),
    # damaged files
    "config of a run cut off": Case(
        "config.yaml", ["resume", "run"], in_file("run/config.yaml", before_the_last_colon)
    ),
    "checkpoint cut off": resume(in_file(f"{CHECKPOINT}/state.safetensors", half)),
    "checkpoint altered": resume(in_file(f"{CHECKPOINT}/state.safetensors", altered)),
    "checkpoint's tree cut off": resume(in_file(f"{CHECKPOINT}/state.json", half)),
    "checkpoint without its block": resume(
        in_file(f"{CHECKPOINT}/state.json", lists_a_block_that_is_gone)
    ),
    "checkpoint of half its files": resume(
        lambda here: [path.unlink() for path in here.glob(f"{CHECKPOINT}/state.safetensors")]
    ),
    "checkpoint damaged, evaluated": Case(
        "is damaged",
        ["eval", "run", "--policy", "latest"],
        in_file(f"{CHECKPOINT}/state.safetensors", altered),
    ),
    "network cut off": Case(
        "not a whole network", ["eval", "run"], in_file("run/best/network.safetensors", half)
    ),
    "network of another run": Case(
        "is not its program's",
        ["eval", "run"],
        in_file("run/config.yaml", lambda text: text.replace(b"- 16", b"- 17")),
    ),
    "program of a run altered": Case(
        "is not a program", ["eval", "run"], in_file("run/best/*.npz", altered)
    ),
    "program cut off": program(half),
    "program altered": program(altered),
    "program of no bytes": program(lambda _: b""),
    "program that is text": program(lambda _: b"not a zip archive"),
    "archive without a program": program(empty_archive, says="program.json"),
    "pickle in a program": program(pickled, says="not plain"),
    "program that claims gigabytes": program(boasting, says="unpacks to more than"),
    "program that claims a vast array": program(vast, says="not plain, or not whole"),
    "program gone": Case(
        "program.npz is gone",
        ["verify", "export"],
        lambda here: (here / "export/program.npz").unlink(),
    ),
    "golden vectors cut off": Case(
        "golden", ["verify", "export"], in_file("export/golden.npz", half)
    ),
    "golden vectors altered": Case(
        "golden", ["verify", "export"], in_file("export/golden.npz", altered)
    ),
    "golden vectors gone": Case(
        "golden.npz is gone",
        ["verify", "export"],
        lambda here: (here / "export/golden.npz").unlink(),
    ),
    "golden vectors that are a pipe": Case(
        "golden.npz is gone, or no plain file",
        ["verify", "export"],
        lambda here: pipe(here / "export/golden.npz"),
    ),
    "manifest that is a pipe": Case(
        "neither an export nor a run",
        ["verify", "export"],
        lambda here: pipe(here / "export/manifest.json"),
    ),
    "manifest of another format": Case(
        "no format 'xyz'",
        ["verify", "export"],
        in_file("export/manifest.json", lambda data: data.replace(b'"program",', b'"xyz",')),
    ),
    "manifest of files elsewhere": Case(
        "files outside of its folder",
        ["verify", "export"],
        in_file("export/manifest.json", lambda data: data.replace(b"golden.npz", b"../x.npz")),
    ),
    "configuration nested without end": Case(
        "is not YAML",
        ["eval", "run"],
        in_file("run/config.yaml", lambda _: b"[" * 100_000),
    ),
    "checkpoint's tree nested without end": resume(
        in_file(f"{CHECKPOINT}/state.json", lambda _: b"[" * 100_000)
    ),
    "as many states as there are": Case("--states", ["verify", "export", "--states", "9" * 11]),
    "a batch beyond memory": Case(
        "train.batch_size", ["train", "tiny.yaml", "--run", "new/x", "--train.batch_size", "9" * 11]
    ),
    "a name that is too long": Case("cannot write", ["export", "run", "--out", "new/" + "a" * 300]),
    "manifest of nothing": Case(
        "does not name format, program and files",
        ["verify", "export"],
        in_file("export/manifest.json", lambda _: b'{"format": 1}'),
    ),
}


def pipe(path: Path) -> None:
    """Put a pipe in the place of a file; who reads it waits for ever."""
    path.unlink()
    os.mkfifo(path)


def forget(run: Path) -> None:
    """Take the programs out of a run."""
    for name in ("program.npz", "best/program.npz"):
        (run / name).unlink()


def contents(folder: Path) -> dict[str, str]:
    """What a folder holds, file by file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else "folder"
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_bad_input_is_one_line_exit_code_2_and_nothing_changed(
    case: Case,
    run: Path,
    export: Path,
    tiny_config: Path,
    monkeypatch: pytest.MonkeyPatch,
    rivc: Callable[..., Result],
) -> None:
    here = run.parent
    assert export.parent == here
    (here / "tiny.yaml").write_text(tiny_config.read_text())
    (here / "new").mkdir()
    case.breaks(here)
    monkeypatch.chdir(here)
    for name, value in case.variables.items():
        monkeypatch.setenv(name, value)
    before = contents(here)
    result = rivc(*case.words)
    assert result.exit_code == 2, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("rivc: ")
    assert case.says in line
    assert result.stdout == ""
    assert contents(here) == before
