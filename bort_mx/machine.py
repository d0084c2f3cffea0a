"""What the processor of this machine is called, and which instructions for matrices it has."""

import pathlib
import platform
from typing import Dict, List, Set

INSTRUCTIONS = {"AVX2": "avx2", "AVX-512": "avx512f", "VNNI (8-bit)": "avx512_vnni avx_vnni", "bf16": "avx512_bf16",
                "AMX": "amx_tile"}
"""Instructions that matter for matrix products → their flag in /proc/cpuinfo, or several, of which one is enough."""


def cpu_name() -> str:
    """The processor's name, or its kind if the system does not tell."""
    names = [line.split(":", 1)[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def instructions() -> Dict[str, bool]:
    """Which of `INSTRUCTIONS` the processor has. On other kinds of processor and systems, none is found."""
    flags: Set[str] = set()
    for line in _cpu_lines():
        if line.startswith("flags"):
            flags.update(line.split(":", 1)[1].split())
    return {name: not flags.isdisjoint(wanted.split()) for name, wanted in INSTRUCTIONS.items()}


def weight_bits() -> int:
    """Bits of the weights of 8-bit files for this processor: 8, or 7 without VNNI.

    Without it, ONNX Runtime adds pairs of products in 16 bits, which overflow with weights of 8 bits.
    """
    return 8 if instructions()["VNNI (8-bit)"] else 7


def _cpu_lines() -> List[str]:
    info = pathlib.Path("/proc/cpuinfo")
    return info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
