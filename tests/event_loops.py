"""Runs the coroutines of tests in one thread of their own: a browser's driver keeps a loop running in the main one."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

Result = TypeVar("Result")

_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="event-loop")


def run(coroutine: Coroutine[Any, Any, Result], *, loop: asyncio.AbstractEventLoop | None = None) -> Result:
    """Run a coroutine to its end, in a loop of its own or in one that is kept between calls."""
    if loop is None:
        return _THREAD.submit(asyncio.run, coroutine).result()
    return _THREAD.submit(loop.run_until_complete, coroutine).result()
