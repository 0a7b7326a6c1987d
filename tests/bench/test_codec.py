"""The bench of the codec measures what comes back, and meets its bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rivc.bench import codec, run_bench
from rivc.codec import FeatureCodec
from rivc.errors import MismatchError

if TYPE_CHECKING:
    from typing import Any


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ROUNDS": 1, "EVERY": 16}.items():
        monkeypatch.setattr(codec, name, value)


def test_the_sizes_meet_their_bar() -> None:
    report = run_bench("codec")
    for name in codec.MAPS:
        size = {one.coder: one.bytes_per_frame for one in report.coded if one.frames == name}
        assert size["rans-inter"] < 0.7 * size["zstd -19"]
        assert size["max-inter"] < size["rans-inter"] < size["rans-intra"]
        slices = -(-size["rans-intra"] // 1200)  # each with a header, and an end of the coder
        for profile in ("rans-intra", "rans-inter"):
            ideal = size[f"ideal of {profile}"] - codec.OVERHEAD
            assert size[profile] - codec.OVERHEAD <= 1.007 * ideal + 8 + (slices - 1) * 28


def test_a_frame_that_does_not_come_back_stops_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = FeatureCodec.decode

    def wrong(*arguments: Any) -> Any:
        return decode(*arguments) ^ 1

    monkeypatch.setattr(FeatureCodec, "decode", wrong)
    with pytest.raises(MismatchError, match="rans-intra"):
        run_bench("codec")
