import subprocess
import sys
import textwrap

import pytest

import coopkit


def test_importing_coopkit_is_light_and_reads_no_file_of_its_own():
    """Accelerate, cattrs and PIL come when they are needed; a torch that is there costs nothing."""
    script = """
        import sys, torch, pluggy, attrs
        before = set(sys.modules)
        opened = []
        def note(event, arguments):
            if event == "open":
                opened.append(str(arguments[0]))
        sys.addaudithook(note)
        import coopkit
        heavy = {"accelerate", "cattrs", "PIL", "skimage", "rich", "click", "numpy.random"}
        loaded = {name for name in set(sys.modules) - before}
        assert not heavy & loaded, heavy & loaded
        code = (".py", ".pyc")
        assert all(name.endswith(code) or ".pyc." in name for name in opened), opened
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there():
    for name in coopkit.__all__:
        assert getattr(coopkit, name) is not None


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        coopkit.trian  # noqa: B018
