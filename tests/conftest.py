import os
from pathlib import Path

import pytest
from older_transformers import skip_what_is_newer

# No test reaches the network. Tiny models are fastest on one thread: more only wait for each other.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KMP_BLOCKTIME", "0")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real captions, answers and annotations, which are not part of the project."""
    given = Path(os.environ.get("FARSIGHT_SHARED") or Path(__file__).parents[2] / "shared")
    for folder in (given, given / "data"):
        if (folder / "chair").is_dir():
            return folder
    pytest.skip(f"no real data in {given}; $FARSIGHT_SHARED may name another folder")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip_what_is_newer(items)
