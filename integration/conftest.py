import sys
import os

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402


@pytest.fixture
def new_broker(tmp_path):
    """Makes brokers of the test's own; checks at the end that each stopped cleanly, and never leaves one running."""
    made = []

    def make(environment=None, **settings):
        folder = tmp_path / f"broker{len(made)}"
        folder.mkdir()
        instance = harness.Broker(folder, **settings)
        instance.environment = environment or {}
        made.append(instance)
        return instance.start()

    try:
        yield make
        for instance in made:
            instance.stop()
    finally:
        for instance in made:
            instance.close()


# One broker for all tests of a module that only need "a broker".
@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    with harness.broker(folder) as instance:
        yield instance
