"""5. Importing the reference: the parts of the course that hold answers are not in the sandbox at all."""

from __future__ import annotations

import pytest

from course_lib.grading.places import ROOT
from course_lib.grading.results import to_json
from tests.grading.hostile.conftest import Attack

IMPORTS = {
    "plainly": "from course_lib import models, grading",
    "a spec": "from course_lib.grading.specs import attention_layer",
    "by name": "import importlib\nimportlib.import_module('course_lib.models.attention')",
    "from the repository": f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfor n in [n for n in sys.modules if "
    "n.startswith('course_lib')]:\n    del sys.modules[n]\nimport course_lib.models",
    "a file of the repository": f"import runpy\nrunpy.run_path({str(ROOT / 'course_lib/models/attention.py')!r})",
    "the solution": f"open({str(ROOT / 'solutions')!r} + '/04-attention-layer/attention-layer.py').read()",
    "the finder of an editable installation": "import sys\nf = [m for m in sys.meta_path if 'ditable' in str(m)][0]\n"
    "spec = f.find_spec('course_lib')\nassert spec and spec.submodule_search_locations\n"
    "import os\nassert any(os.path.isdir(os.path.join(p, 'models')) for p in spec.submodule_search_locations)",
    "pkgutil": "import pkgutil, course_lib\n"
    "assert {'models', 'grading'} & {m.name for m in pkgutil.iter_modules(course_lib.__path__)}",
    "site-packages": "import site, os\nassert any(os.path.exists(os.path.join(p, 'course_lib', 'models')) for p in "
    "site.getsitepackages())",
    "bytecode": "import os\nassert any('attention' in f for _, _, files in os.walk('/course') for f in files)",
    "another interpreter": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import course_lib.models'], "
    "check=True, capture_output=True)",
}


@pytest.mark.parametrize("name", IMPORTS)
def test_the_reference_cannot_be_had(attack: Attack, name: str) -> None:
    attempt = "".join(f"        {line}\n" for line in IMPORTS[name].splitlines())
    source = f"def attempt():\n    try:\n{attempt}        return 'reached'\n"
    source += "    except BaseException:\n        return 'out of reach'\n"
    result = attack(source + "def double(x):\n    raise ValueError('the reference is ' + attempt())\n", rest=False)
    assert "the reference is out of reach" in to_json(result)


def test_the_same_attempts_succeed_outside() -> None:
    for name in ("plainly", "a spec", "by name", "a file of the repository", "the solution"):
        exec(IMPORTS[name], {})
