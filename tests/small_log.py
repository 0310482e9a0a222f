"""A log with a few entries that signs whatever it is asked to, and can be another log with the same key."""

from dataclasses import dataclass, field

from consent_service.audit import merkle, witnessing
from consent_service.audit.checkpoints import Checkpoint
from consent_service.crypto.notes import NoteSigner

ORIGIN = "log.example/log/ctl_acme"


@dataclass(frozen=True, slots=True)
class SmallLog:
    """A log of up to 255 entries; `fork_at` is the index from which its entries are others than they were."""

    origin: str = ORIGIN
    seed: bytes = b"\x01" * 32
    fork_at: int = 256
    hashes: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        entries = (b"%d %s" % (index, b"forked" if index >= self.fork_at else b"") for index in range(256))
        object.__setattr__(self, "hashes", [merkle.leaf_hash(entry) for entry in entries])

    @property
    def signer(self) -> NoteSigner:
        return NoteSigner(self.origin, self.seed)

    @property
    def vkey(self) -> str:
        return self.signer.vkey

    def root(self, size: int) -> bytes:
        return merkle.root_of(self.hashes[:size])

    def note(self, size: int) -> str:
        return self.signer.sign(Checkpoint(self.origin, size, self.root(size)).text())

    def proof(self, old_size: int, size: int) -> tuple[bytes, ...]:
        def read(level: int, number: int) -> bytes:
            assert (level, number) == (0, 0)
            return b"".join(self.hashes[:size])

        return merkle.prove_consistency(old_size, size, read) if 0 < old_size < size else ()

    def request(self, old_size: int, size: int) -> bytes:
        """Write the body that asks a witness which knows the old size to cosign the size."""
        return witnessing.format_request(old_size=old_size, proof=self.proof(old_size, size), note=self.note(size))
