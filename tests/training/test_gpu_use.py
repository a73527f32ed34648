"""How busy the GPU is, sampled through torch."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from tune_app.training import gpu_use
from tune_app.training.gpu_use import GpuUse


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], int]], None]:
    """Make torch report the result of a function of the GPU's number, sampled every 20 ms."""

    def tell(utilization: Callable[[int], int]) -> None:
        monkeypatch.setattr(torch.cuda, "utilization", utilization)
        monkeypatch.setattr(gpu_use, "SAMPLED_S", 0.02)

    return tell


def test_the_mean_of_the_samples(told: Callable[[Callable[[int], int]], None]) -> None:
    begun = time.monotonic()
    told(lambda index: 80 if time.monotonic() < begun + 0.2 else 20 + index)
    use = GpuUse(torch.device("cuda", 1))
    assert use.mean is None, "unknown before the first epoch"
    with use.watching():
        time.sleep(0.1)
    assert use.mean == 80
    time.sleep(0.15)  # time outside an epoch does not count
    with use.watching():
        time.sleep(0.1)
    assert use.mean == pytest.approx(50, abs=12)


def test_an_epoch_shorter_than_the_interval_gets_one_sample(told: Callable[[Callable[[int], int]], None]) -> None:
    told(lambda index: 37)
    use = GpuUse(torch.device("cuda"))
    with use.watching():
        pass
    assert use.mean == pytest.approx(37)


def test_it_is_unknown_on_a_cpu_and_without_nvml(told: Callable[[Callable[[int], int]], None]) -> None:
    def refuse(index: int) -> int:
        raise RuntimeError("Not Supported")

    told(refuse)
    for name in ("cpu", "cuda"):
        use = GpuUse(torch.device(name))
        for _ in range(2):
            with use.watching():
                pass
        assert use.mean is None


def test_an_error_in_the_epoch_ends_the_watch(told: Callable[[Callable[[int], int]], None]) -> None:
    told(lambda index: 10)
    use = GpuUse(torch.device("cuda"))
    with pytest.raises(ZeroDivisionError), use.watching():
        1 / 0  # noqa: B018
    assert use.mean == pytest.approx(10)
