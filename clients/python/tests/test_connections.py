"""Connections: trusted by certificate, bounded in time, reused with care, and shared by no two processes."""

import datetime as dt
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clients.python.tests.conftest import KEY
from clients.python.tests.servers import Handler, Talk, a_line, a_yes, always, running
from consent_client import ConsentClient, Decision, Email

KARI = Email("kari@nordlys.example")


def ask(client: ConsentClient) -> Decision:
    """Ask the question that all these tests ask."""
    return client.check(KARI, "newsletter", "email")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a certificate for 127.0.0.1 by nobody's authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "consent.example")])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "service.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Callable[[Handler], str]]:
    """Return what runs a handler behind TLS and returns its base URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    stopping = []

    def wrapped(handler: Handler) -> Handler:
        def handle(talk: Talk) -> None:
            with context.wrap_socket(talk.socket, server_side=True) as connection:
                handler(Talk(connection))

        return handle

    def start(handler: Handler) -> str:
        service = running(wrapped(handler))
        stopping.append(service)
        return service.__enter__().replace("http://", "https://")

    yield start
    for service in stopping:
        service.__exit__(None, None, None)


class TestTls:
    def test_carries_checks_on_one_connection_and_streams(
        self, secure: Callable[[Handler], str], certificate: Path
    ) -> None:
        connections: list[Talk] = []

        def serve(talk: Talk) -> None:
            connections.append(talk)
            if len(connections) == 1:
                return always(a_yes())(talk)
            talk.begin()
            talk.begin_stream()
            for line in talk.lines():
                talk.part(a_line(line["correlation_id"]))
            return talk.end()

        trusted = ssl.create_default_context(cafile=str(certificate))
        with ConsentClient(secure(serve), KEY, ssl_context=trusted) as client:
            checks = [ask(client) for _ in range(5)]
            answers = list(client.check_stream([KARI] * 5_000, "newsletter", "email"))

        assert all(checks)
        assert len(connections) == 2
        assert len(answers) == 5_000
        assert all(answers)

    def test_by_an_unknown_authority_is_a_no(self, secure: Callable[[Handler], str]) -> None:
        with ConsentClient(secure(always(a_yes())), KEY) as client:
            decision = ask(client)
            [answer] = client.check_stream([KARI], "newsletter", "email")

        assert (decision.allowed, decision.failure) == (False, "SSLCertVerificationError")
        assert (answer.allowed, answer.decision.failure) == (False, "SSLCertVerificationError")

    def test_for_another_name_is_a_no(self, secure: Callable[[Handler], str], certificate: Path) -> None:
        url = secure(always(a_yes())).replace("127.0.0.1", "localhost")
        trusted = ssl.create_default_context(cafile=str(certificate))
        with ConsentClient(url, KEY, ssl_context=trusted) as client:
            assert not ask(client)

    def test_that_is_none_is_a_no(self, serve: Callable[[Handler], str]) -> None:
        url = serve(lambda talk: talk.send(b"HTTP/1.1 200 OK\r\n\r\n")).replace("http://", "https://")
        with ConsentClient(url, KEY, timeout=2) as client:
            assert ask(client).failure == "SSLError"

    def test_whose_greeting_never_comes_is_a_no_in_time(self, serve: Callable[[Handler], str]) -> None:
        def listen(talk: Talk) -> None:
            while talk.socket.recv(2**16):
                pass

        with ConsentClient(serve(listen).replace("http://", "https://"), KEY, timeout=0.2) as client:
            assert ask(client).failure == "Timeout"


class TestTime:
    @pytest.mark.parametrize(
        "head", [b"", b"HTTP/1.1 200 OK\r\nX-", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"]
    )
    def test_bounds_an_answer_that_drips(self, serve: Callable[[Handler], str], head: bytes) -> None:
        over = threading.Event()

        def drip(talk: Talk) -> None:
            talk.receive()
            talk.send(head)
            while not over.wait(0.02):
                talk.send(b"a")

        with ConsentClient(serve(drip), KEY, timeout=0.3) as client:
            begun = time.monotonic()
            decision = ask(client)
            elapsed = time.monotonic() - begun
        over.set()

        assert not decision
        assert elapsed < 2


class TestAConnectionThatRests:
    def test_is_not_used_when_more_came_than_was_asked(self, client_of: Callable[[Handler], ConsentClient]) -> None:
        connections: list[Talk] = []

        def say_too_much(talk: Talk) -> None:
            connections.append(talk)
            talk.receive()
            talk.answer(a_yes(), then=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            talk.receive()

        client = client_of(say_too_much)

        assert [bool(ask(client)) for _ in range(3)] == [True, True, True]
        assert len(connections) == 3

    def test_is_not_used_after_an_answer_that_came_too_late(self, serve: Callable[[Handler], str]) -> None:
        gone = threading.Event()
        connections: list[Talk] = []

        def answer_late(talk: Talk) -> None:
            connections.append(talk)
            talk.receive()
            if len(connections) == 1:
                gone.wait(10)
            talk.answer(a_yes(subject_id=f"sub_{len(connections)}"))
            talk.receive()

        with ConsentClient(serve(answer_late), KEY, timeout=0.3) as impatient:
            late = ask(impatient)
            gone.set()
            next_one = ask(impatient)

        assert late.failure == "Timeout"
        assert next_one.subject_id == "sub_2"

    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_is_not_shared_with_a_fork(self, client_of: Callable[[Handler], ConsentClient]) -> None:
        connections: list[Talk] = []

        def count(talk: Talk) -> None:
            connections.append(talk)
            always(a_yes())(talk)

        client = client_of(count)
        assert ask(client)
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, b"yes" if ask(client) else b"no")
            os._exit(0)
        os.waitpid(child, 0)
        said = os.read(reading, 3)
        os.close(reading)
        os.close(writing)

        assert said == b"yes"
        assert ask(client)
        assert len(connections) == 2
