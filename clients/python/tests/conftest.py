"""What the tests of the client share: services that answer as badly as a test wants, over real sockets."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from clients.python.tests.servers import Handler, running
from consent_client import ConsentClient

# Rules and long tests mean here what they mean in the rest of the repository.
pytest_plugins = ("tests.rules_report",)

KEY = "cs_demo_known_to_everybody"


@pytest.fixture
def serve() -> Iterator[Callable[[Handler], str]]:
    """Return what runs a service with one way of answering, and returns its base URL."""
    with ExitStack() as started:
        yield lambda handler: started.enter_context(running(handler))


@pytest.fixture
def client_of(serve: Callable[[Handler], str]) -> Iterator[Callable[[Handler], ConsentClient]]:
    """Return what makes a client of a service with one way of answering; it has little patience."""
    with ExitStack() as made:

        def make(handler: Handler) -> ConsentClient:
            client = ConsentClient(
                serve(handler), KEY, timeout=2, batch_timeout=2, stream_timeout=2, retry_waits=(0, 0, 0)
            )
            return made.enter_context(client)

        yield make
