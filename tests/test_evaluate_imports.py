"Measuring a model loads no training code and no widgets."
import subprocess, sys
import pytest
from sync import ROOT

MODULES = sorted(p.stem for p in (ROOT / "vdsm" / "evaluate").glob("*.py") if p.stem != "__init__")


@pytest.mark.parametrize(
    "module", [*(f"evaluate.{m}" for m in MODULES), "lib.report", "lib.resnext"]
)
def test_a_measure_loads_no_training_code(module):
    code = (
        f"import sys, vdsm.{module}; parts = 'vdsm.training', 'vdsm.view', 'vdsm.commands'; "
        "print(*(m for m in sys.modules if m.startswith(parts)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        == []
    )
