"""How a plugin fails: in its own words, or by mistake."""

import functools

from componentize_py_types import Err
from wit_world.imports import log
from wit_world.imports.types import Failure


def failure(code: str, message: str) -> Err:
    """What to raise for the person who asked: an upper-case code, and one sentence that says what is wrong and what to do."""
    return Err(Failure(code, message, None))


def guarded(work):
    """What ``work`` raises by mistake is a crash; the log has its words, from where they reach the error."""

    @functools.wraps(work)
    def run(*arguments):
        try:
            return work(*arguments)
        except Err:
            raise
        except BaseException as error:
            log.write("error", f"{type(error).__name__}: {error}")
            raise

    return run
