"""`examples/quickstart`: its own tests pass in this engine, as a newcomer runs them."""

import importlib.util
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "quickstart"
sys.path.insert(0, str(EXAMPLE))
_spec = importlib.util.spec_from_file_location("quickstart_tests", EXAMPLE / "test_recall.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
orchestrator_plugins = _module.orchestrator_plugins
globals().update({name: value for name, value in vars(_module).items() if name.startswith("test_")})
