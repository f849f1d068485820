"""kill −9 under load, with what a power cut would have lost taken from the files: every promise is kept."""
import os
import random

from crash import crash
from harness import kcat


def test_promises_are_kept_through_kills_and_lost_writes(tmp_path):
    seed = int(os.environ.get("CRASH_SEED", random.randrange(10**6)))
    assert crash.run(10, seed, str(tmp_path / "worlds")) == 0, f"CRASH_SEED={seed} draws the same again"


def test_the_program_notices_a_broken_promise(tmp_path, monkeypatch):
    # A power cut that also takes what was acknowledged: as if the broker had answered before it synced.
    monkeypatch.setattr(crash.World, "is_needed", lambda *_: False)
    assert crash.run(25, 7, str(tmp_path / "worlds")) == 1


def test_a_second_start_finds_everything_without_help(new_broker):
    broker = new_broker()
    kcat(broker, "-t", "kept", "-P", stdin="one\ntwo\n")
    broker.kill()
    broker.start()
    kcat(broker, "-t", "kept", "-P", stdin="three\n")
    broker.stop()
    broker.start()
    assert kcat(broker, "-t", "kept", "-C", "-o", "beginning", "-e", "-q").split() == ["one", "two", "three"]
