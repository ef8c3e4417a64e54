"""Run every benchmark in turn: the `run.py` of each folder here, with its default settings."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

for script in sorted(HERE.glob("*/run.py")):
    module = f"benchmarks.{script.parent.name}.run"
    print(f"\n{module}", flush=True)
    subprocess.run([sys.executable, "-m", module], cwd=HERE.parent, check=True)
