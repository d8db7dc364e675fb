"""What readers exchange in the engine is back when the last of them is closed."""

from types import SimpleNamespace

from tinygrad_sm.replaced import Replaced


def test_the_original_is_back_after_the_last_user():
    owner = SimpleNamespace(run="original", stop="original")
    replaced = Replaced((owner, "run", "other"), (owner, "stop", "other"))
    assert owner.run == "original"
    replaced.acquire()
    replaced.acquire()
    replaced.release()
    assert (owner.run, owner.stop) == ("other", "other")
    replaced.release()
    assert (owner.run, owner.stop) == ("original", "original")
    replaced.acquire()
    assert owner.run == "other"
    replaced.release()
