"""Without the extra [tensorflow] nothing in this folder can be imported, so nothing is collected."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("tensorflow") and find_spec("tf_keras") else ["test_*.py", "*/test_*.py"]
