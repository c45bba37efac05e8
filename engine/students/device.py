"""The device of a rank: its memory, and the peak that its speed is compared with."""

from __future__ import annotations

import ctypes
import resource
import sys

import torch

from engine.errors import JobFailed

# Dense bf16 peaks in TFLOP/s, from the vendors' data sheets; the first matching name counts.
_PEAKS = {
    "B200": 2250.0,
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "A6000": 155.0,
    "A10": 125.0,
    "L4": 121.0,
    "4090": 165.0,
    "3090": 71.0,
}


def choose_device(kind: str, local_rank: int) -> torch.device:
    """The device of the rank.

    Raises:
        JobFailed: the machine has fewer GPUs than the run has ranks.
    """
    if kind == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count()
    if local_rank >= count:
        raise JobFailed(
            f"training.devices asks for GPU number {local_rank}, but this process sees {count} GPUs"
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


def peak_flops(device: torch.device, *, bf16: bool) -> float | None:
    """Peak FLOP/s of the device in this precision; None if unknown (CPUs, float32)."""
    if device.type != "cuda" or not bf16:
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak * 1e12 for known, peak in _PEAKS.items() if known in name), None)


def memory_mb(device: torch.device) -> float:
    """The peak memory use so far in MB: of the GPU, or of the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def return_free_memory() -> None:
    """Gives freed memory of this process back to the system. Does nothing if the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def device_name(device: torch.device) -> str:
    """The name of the device for people."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
