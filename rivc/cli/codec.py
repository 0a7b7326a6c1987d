"""`rivc codec`: fit, encode, decode, info."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rivc.cli.codec_train import train
from rivc.cli.output import check_file, emit_json, json_option, pairs, policy_option, verb
from rivc.cli.progress import working
from rivc.errors import MissingError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rivc.codec import FeatureCodec, Header, Recording
    from rivc.train.policy import Which

MAX_STREAM: Final = 1 << 30
_PATH: Final = click.Path(path_type=Path)
out_option = click.option("--out", type=_PATH, required=True, metavar="FILE", help="To write.")
codec_argument = click.argument("codec", type=_PATH)


@click.group(epilog="\b\nExample:\n  rivc codec fit runs/tracker-seed0 --layer 2 --out tracker.npz")
def command() -> None:
    """Fit and use a feature codec; train what codes to less.

    What fit writes is what both ends of a link share. Each verb takes --json.
    """


@verb(example="rivc codec fit runs/tracker-seed0 --layer 2 --episodes 8 --out tracker.npz")
@click.argument("source", type=_PATH)
@click.option("--layer", type=click.IntRange(min=1), help="Of a run: its counts, 1 for the first.")
@click.option(
    "--episodes",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Of a run: how many to record.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of these.")
@policy_option
@click.option("--record", type=_PATH, metavar="FILE", help="Write what was recorded as well.")
@click.option(
    "--profile",
    "profiles",
    multiple=True,
    default=["rans"],
    show_default=True,
    help="What to fit models for; may be repeated: rans, max.",
)
@out_option
@json_option
def fit(source: Path, out: Path, profiles: tuple[str, ...], as_json: bool, **how: Any) -> None:
    """Fit layout and models to recorded counts.

    SOURCE is the folder of a run, whose policy plays episodes while a layer is recorded; or a file:
    .npz with codes, uint8 [T, C, H, W], and starts, or .npy with codes.
    """
    from rivc.codec import FeatureCodec

    for path in (out, *filter(None, [how["record"]])):
        check_file(path)
    recording = _recorded(source, **how)
    codec = FeatureCodec.fit(
        recording.codes, recording.bit_width, starts=recording.starts, profiles=profiles
    )
    codec.save(out)
    _tell({"out": str(out), "frames": len(recording.codes), **_facts(codec)}, as_json)


@verb(example="rivc codec encode tracker.npz counts.npz --out counts.rvf")
@codec_argument
@click.argument("codes", type=_PATH)
@click.option("--profile", default="rans", show_default=True, help="How to code.")
@click.option("--intra", is_flag=True, help="Let no frame refer to the one before.")
@out_option
@json_option
def encode(codec: Path, codes: Path, profile: str, intra: bool, out: Path, as_json: bool) -> None:
    """Turn recorded counts into packets.

    CODEC is what fit wrote, CODES an .npz or .npy as it takes them. The packets of all frames stand
    one after the other in the file.
    """
    from rivc.codec import FeatureCodec, Recording, Stamp
    from rivc.snn_convert.storage import write_atomically

    coder = FeatureCodec.load(codec)
    recording = Recording.load(codes, coder.descriptor.bit_width)
    shape = recording.codes.shape[1:]
    if shape != coder.descriptor.shape:
        raise UsageError(f"{codes} holds frames {shape}; {codec} is for {coder.descriptor.shape}")
    stream = [
        coder.encode(
            frame,
            None if intra else recording.previous(i),
            profile=profile,
            stamp=Stamp(sequence=i),
        )
        for i, frame in enumerate(recording.codes)
    ]
    write_atomically(out, b"".join(stream))
    total = sum(map(len, stream))
    facts = {
        "out": str(out),
        "frames": len(stream),
        "bytes": total,
        "bytes_per_frame": total / len(stream),
        "times_below_fp32": 4 * recording.codes.size / total,
    }
    _tell(facts, as_json)


@verb(example="rivc codec decode tracker.npz counts.rvf --out again.npz")
@codec_argument
@click.argument("packets", type=_PATH)
@out_option
@json_option
def decode(codec: Path, packets: Path, out: Path, as_json: bool) -> None:
    """Turn packets back into counts.

    PACKETS is what encode wrote. Frames that refer to none before begin an episode.
    """
    from rivc.codec import FeatureCodec

    recording = _decoded(FeatureCodec.load(codec), packets)
    recording.save(out)
    _tell({"out": str(out), "frames": len(recording.codes)}, as_json)


def _decoded(coder: FeatureCodec, path: Path) -> Recording:
    """The counts of all packets of a file, of which a few bytes may stand for many counts."""
    import numpy as np

    from rivc.codec import Recording
    from rivc.snn_convert.storage import MAX_BYTES

    frames: list[Any] = []
    starts: list[bool] = []
    for packet, header in _packets(path):
        if (len(frames) + 1) * coder.descriptor.symbols > MAX_BYTES:
            raise UsageError(
                f"{path} holds more than {len(frames)} frames, which no file of counts does; "
                "decode fewer of its packets at a time"
            )
        frames.append(coder.decode(packet, frames[-1] if frames else None))
        starts.append(header.distance == 0)
    if not frames:
        raise UsageError(f"{path} holds no packets")
    codes = np.array(frames, np.uint8).reshape(len(frames), *coder.descriptor.shape)
    return Recording(codes, np.array(starts, np.bool_), coder.descriptor.bit_width)


@verb(example="rivc codec info tracker.npz")
@click.argument("file", type=_PATH)
@json_option
def info(file: Path, as_json: bool) -> None:
    """Tell what is in a codec file, or in a file of packets."""
    from rivc.codec import FeatureCodec
    from rivc.codec.bitstream import MAGIC

    is_stream = _begins_with(file, MAGIC)
    _tell(_stream_facts(file) if is_stream else _facts(FeatureCodec.load(file)), as_json)


def _begins_with(path: Path, magic: bytes) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _recorded(
    source: Path,
    *,
    layer: int | None,
    episodes: int,
    seed: int,
    policy: Which | None,
    record: Path | None,
) -> Recording:
    """What a file holds, or what a layer of a run emits."""
    from rivc.codec import Recording

    if not source.is_dir():
        if layer is not None or policy is not None or record is not None:
            raise UsageError(f"{source} is recorded; leave out --layer, --policy and --record")
        return Recording.load(source)
    if layer is None:
        raise UsageError(f"{source} is a folder: name the layer of the run to record by --layer")
    from rivc.train.features import record_features
    from rivc.train.run import RunFolder

    folder = RunFolder.open(source)
    with working("recording episodes"):
        recording = record_features(folder, layer, episodes=episodes, seed=seed, which=policy)
    if record:
        recording.save(record)
    return recording


def _packets(path: Path) -> Iterator[tuple[bytes, Header]]:
    """The packets of a file, each with the header of its first slice."""
    from rivc.codec import packets, read_slice
    from rivc.snn_convert.storage import read_plain

    if not path.is_file():
        raise MissingError(f"no packets at {path}")
    for packet in packets(read_plain(path, MAX_STREAM)):
        yield packet, read_slice(packet).header


def _facts(codec: FeatureCodec) -> dict[str, Any]:
    descriptor = codec.descriptor
    return {
        "descriptor_id": codec.descriptor_id.hex(),
        "sha256": descriptor.sha256,
        "shape": list(descriptor.shape),
        "bit_width": descriptor.bit_width,
        "models": {
            name: sum(array.nbytes for array in model.values())
            for name, model in descriptor.models.items()
        },
    }


def _stream_facts(path: Path) -> dict[str, Any]:
    from rivc.codec.profiles import BY_NUMBER

    found = list(_packets(path))
    headers = [header for _, header in found]
    profiles = [getattr(BY_NUMBER.get(header.profile), "name", "unknown") for header in headers]
    total = sum(len(packet) for packet, _ in found)
    return {
        "descriptor_ids": sorted({header.descriptor_id.hex() for header in headers}),
        "frames": len(found),
        "slices": sum(header.slice_count for header in headers),
        "profiles": {name: profiles.count(name) for name in sorted(set(profiles))},
        "bytes": total,
        "bytes_per_frame": total / max(1, len(found)),
    }


def _tell(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit_json(facts)
        return
    click.echo(pairs([(name.replace("_", " "), _text(value)) for name, value in facts.items()]))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


for one in (fit, encode, decode, info, train):
    command.add_command(one)
