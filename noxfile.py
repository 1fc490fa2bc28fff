"""The smoke tests with every Python, and the oldest packages, that pyproject.toml allows: `nox`.

A Python that is not on the machine is skipped. `nox -s oldest` or `nox -s newest-3.13` runs one.
"""

import nox

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
SMOKE = ("proofs_tests/test_smoke.py", "proofs_tests/test_sequential.py")

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def newest(session: nox.Session) -> None:
    """Each Python, with the newest packages that there are for it."""
    session.install("-e", ".[testing]")
    session.run("python", "-m", "pytest", "-q", *SMOKE)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """The oldest Python with the oldest packages."""
    needed = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["testing"]
    session.install(*(requirement.replace(">=", "==") for requirement in needed))
    session.install("--no-deps", "-e", ".")
    session.run("python", "-m", "pytest", "-q", *SMOKE)
