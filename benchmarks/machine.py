"""What the figures were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = (
    *("cbir", "torch", "torchvision", "openvino", "numpy", "pillow", "annoy", "scikit-image"),
    *("hnswlib", "scikit-learn"),  # only to compare with
)

#: What decides how fast a network runs.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni", "amx_tile", "amx_bf16", "amx_fp16", "amx_int8")


def describe() -> dict[str, Any]:
    """Processor, memory, GPU and versions."""
    information = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", information, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)$", information, re.MULTILINE)
    total = re.search(r"^MemTotal:\s*(\d+)", _read("/proc/meminfo"), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.processor(),
        "flags": [flag for flag in FLAGS if flags and flag in flags[1].split()],
        "cores": cores(),
        "memory_gb": round(int(total[1]) / 2**20, 1) if total else None,
        "gpu": gpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu() -> str | None:
    """The first GPU's name, without importing torch."""
    try:
        question = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
        answer = subprocess.run(question, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.splitlines()[0].strip() if answer.strip() else None


def headline(machine: dict[str, Any]) -> str:
    """The machine in a line or two."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    return (
        f"{machine['processor']} ({' '.join(machine['flags'])}), {machine['cores']} cores, {machine['memory_gb']} GB, "
        f"GPU: {machine['gpu'] or 'none'}\nPython {machine['python']}, {versions}"
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
