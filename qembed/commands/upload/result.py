"""What an upload has done."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What an upload has done; all of it is checked on the server.

    Attributes:
        url: The server.
        collection: The collection.
        vector: Name of the vector; empty where vectors have no name.
        embeddings: The file that was uploaded; of several, the first.
        dimension: Dimension of the vectors.
        model: Name of their model, as ``--model`` takes it; None where no manifest says so.
        created: Whether the collection was made by this upload.
        resumed: Records that an interrupted upload had sent already.
        records: Records of the embeddings, and so points of theirs in the collection.
        sent: Points that were sent.
        unchanged: Points that the server held already, so that they were not sent.
        retried: Requests that failed and were tried again.
        halved: Batches that were too large for the server.
        pruned: Points that were deleted because their chunks vanished from the corpus.
        other_points: Points of the collection that are not from these embeddings.
        sampled: Points that were read back and compared.
        green: Whether the server has indexed everything.
        bytes_sent: Size of all requests that were taken.
        seconds_sending: Wall time of sending.
        seconds: Wall time of everything.
        alias: Alias that points to the collection since; None where none was asked for.
        alias_before: The collection that it pointed to when the upload began; None for none.
        replaces: The collection that this one takes the place of; it is left as it was.
        bench: The stored bench that vouches for the embeddings; None where none was asked for.
        remarks: What else there is to know, and to do.
        later: The command that deletes ``replaces``; None without it.
        back: The command that moves the alias back; None where it did not move, or from nowhere.
    """

    url: str
    collection: str
    vector: str
    embeddings: str
    dimension: int
    model: str | None
    created: bool
    resumed: int
    records: int
    sent: int
    unchanged: int
    retried: int
    halved: int
    pruned: int
    other_points: int
    sampled: int
    green: bool
    bytes_sent: int
    seconds_sending: float
    seconds: float
    alias: str | None = None
    alias_before: str | None = None
    replaces: str | None = None
    bench: str | None = None
    remarks: tuple[str, ...] = ()
    later: str | None = None
    back: str | None = None

    @property
    def points_per_second(self) -> float:
        """Points sent per second of sending; 0 where none was sent."""
        return self.sent / self.seconds_sending if self.seconds_sending else 0.0
