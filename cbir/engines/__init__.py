"""The runtimes that carry a backbone's network out."""

import sys

# `import openvino` alone reports to its maker, from a process that it forks, and keeps an identity in ~/intel. Where
# this package of its is missing it does not, so it is missing for this process.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
