"""The one queue of a model: who gets in, who is next, and who has waited in vain.

No threads and no Triton here, and the clock is given, so that all of it can be simulated; whoever uses it
from several threads holds a lock.

**Who is next.** What is due first is run first. The first run (512 tokens) of a request is due when it
arrives, each further one when those before it would be done at a quarter of the measured speed. So single
texts go in the order of their arrival; a text that comes while a list of long ones is worked on waits for
those runs of the list that are due, not for the list; and lists share the server by tokens. Nobody starves: a
due time stands, and newcomers are due no sooner than now, so what is due is overtaken by nothing that comes
later.

**Who gets in.** A request is refused if anything, itself included, would then start later than `seconds`
after it is due. What waits and what runs, divided by three quarters of the measured speed, tells when
something starts: an overload slows the model down, since refusals take time of the same cores. For a request
of several runs such later runs, its own and others', count double: lists are promised half of the server
together, and the other half stays free for single texts. When nothing waits, a request always gets in.
Limits of count and bytes come on top.

**Background work** has a line of its own, with a backlog of at most `seconds` of work. It is run when nothing
else waits, and otherwise gets `background_share` of the server: each of its runs puts off the next by the
time of that run divided by the share.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from serving.onnxruntime_backend.limits import Limits
from serving.onnxruntime_backend.line import Line, Piece, Portion
from serving.onnxruntime_backend.plan import LARGEST
from serving.onnxruntime_backend.rate import Rate
from serving.onnxruntime_backend.tickets import Ticket

# A request's runs are due at this part of the measured speed.
PACE = 0.25
# Of the measured speed, what an overload leaves. On two cores with a model of two layers, four times the
# capacity left 0.65 to 0.85.
CAUTION = 0.75
# Of the server, what requests of several runs are promised together.
LISTS_SHARE = 0.5
# A refused client is told to stay away for this part of the limit at least.
SHORTEST_PAUSE = 0.25


class Unavailable(Exception):
    """A request that is not run. The message is for the client."""


class Refused(Unavailable):
    """Not accepted. `reason`: time, requests, bytes or stopping."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Expired(Unavailable):
    """Its deadline has passed."""


class Cancelled(Unavailable):
    """Its client is gone."""


@dataclass
class Totals:
    """What has become of requests so far, by reason."""

    refused: Counter[str] = field(default_factory=Counter)
    expired: int = 0
    cancelled: int = 0


@dataclass(frozen=True)
class Waiting:
    """What waits now; `oldest`: seconds since the first of them arrived."""

    requests: int
    tokens: int
    nbytes: int
    oldest: float


class RequestQueue:
    """See the module. All times in seconds of `clock`; sizes in tokens."""

    def __init__(self, limits: Limits, rate: Rate, clock: Callable[[], float]) -> None:
        self.limits, self.rate, self.totals = limits, rate, Totals()
        self._clock = clock
        self._line, self._background = Line(), Line()
        self._waiting: dict[Ticket, int] = {}  # how many pieces of each wait, in the order of arrival
        self._nbytes = self._running = 0
        self._background_due = 0.0
        self._first_deadline = float("inf")
        self._stopping = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def waiting(self) -> Waiting:
        """For metrics."""
        oldest = next(iter(self._waiting), None)
        age = self._clock() - oldest.arrived if oldest else 0.0
        return Waiting(len(self._waiting), self._line.tokens + self._background.tokens, self._nbytes, age)

    def stop(self) -> None:
        """Refuse what comes from now on."""
        self._stopping = True

    def offer(self, ticket: Ticket) -> None:
        """Take a request in. Raises Refused."""
        now = self._clock()
        portions = list(self._portions(ticket, now))
        try:
            self._check(ticket, portions, now)
        except Refused as refusal:
            self.totals.refused[refusal.reason] += 1
            raise
        ticket.arrived, ticket.deadline = now, now + min(ticket.timeout, self.limits.timeout)
        ticket.keep_inputs()
        self._first_deadline = min(self._first_deadline, ticket.deadline)
        self._waiting[ticket] = len(ticket.sizes)
        self._nbytes += ticket.nbytes
        self._line_of(ticket).add(portions)

    def _portions(self, ticket: Ticket, now: float) -> Iterator[Portion]:
        """Runs of consecutive rows, each due when those before it are done at the pace."""
        speed = PACE * self.rate.tokens_per_second
        rows: list[int] = []
        before = size = 0
        for row, tokens in enumerate(ticket.sizes):
            if rows and size + tokens > LARGEST:
                yield Portion(ticket, rows, now + before / speed, size)
                before, rows, size = before + size, [], 0
            rows.append(row)
            size += tokens
        yield Portion(ticket, rows, now + before / speed, size)

    def _check(self, ticket: Ticket, portions: Sequence[Portion], now: float) -> None:
        if self._stopping:
            raise Refused("stopping", "the server is stopping")
        if not self._waiting:
            return
        if len(self._waiting) >= self.limits.requests:
            raise self._busy(
                "requests", f"{len(self._waiting)} requests wait, the limit is {self.limits.requests}"
            )
        if self._nbytes + ticket.nbytes > self.limits.nbytes:
            raise self._busy("bytes", f"{self._nbytes} bytes wait, the limit is {self.limits.nbytes}")
        wait, limit = self._lateness(ticket, portions, now), min(self.limits.seconds, ticket.timeout)
        if wait > limit:
            raise self._busy(
                "time", f"about {wait:.1f} s of work wait, the limit is {limit:.1f} s", wait - limit
            )

    def _busy(self, reason: str, why: str, surplus: float = 0.0) -> Refused:
        pause = max(surplus, SHORTEST_PAUSE * self.limits.seconds)
        return Refused(reason, f"the server is busy: {why}; try again in {pause:.1f} s")

    def _lateness(self, ticket: Ticket, portions: Sequence[Portion], now: float) -> float:
        """Seconds after its due time at which the latest of those that this request would delay starts."""
        speed = CAUTION * self.rate.tokens_per_second
        if ticket.background:
            return self._background.tokens / speed
        if self._background:
            speed *= 1 - self.limits.background_share
        after = self._line.after(now)
        ahead = float(self._running + self._line.tokens - sum(each.tokens for each in after))
        weight = 1 / LISTS_SHARE if len(portions) > 1 else 1
        latest = 0.0
        for portion in sorted([*after, *portions], key=lambda each: each.due):  # stable: newcomers come last
            latest = max(latest, ahead / speed - (portion.due - now))
            ahead += weight * portion.tokens
        return latest

    def first(self, tokens: int, rows: int) -> list[Piece]:
        """The pieces to choose a run from: those that are due first, all of one class."""
        return self._next_line().first(tokens, rows)

    def _next_line(self) -> Line:
        if not self._line or (self._background and self._background_due <= self._clock()):
            return self._background
        return self._line

    def take(self, pieces: Sequence[Piece]) -> None:
        """These pieces, of those that `first` named, are run now."""
        if not pieces:
            return
        tokens = sum(piece.tokens for piece in pieces)
        self._running += tokens
        for piece in pieces:
            self._leave(piece.ticket, 1)
        self._line_of(pieces[0].ticket).take(pieces)
        if pieces[0].ticket.background:
            pause = tokens / self.rate.tokens_per_second / self.limits.background_share
            self._background_due = max(self._background_due, self._clock()) + pause

    def done(self, pieces: Sequence[Piece]) -> None:
        """The run of these pieces has ended."""
        self._running -= sum(piece.tokens for piece in pieces)

    def expire(self) -> list[Ticket]:
        """Remove the requests whose deadline has passed; the caller answers them."""
        now = self._clock()
        if now < self._first_deadline:
            return []
        late = [ticket for ticket in self._waiting if ticket.deadline <= now]
        for ticket in late:
            self.discard(ticket)
        self.totals.expired += len(late)
        self._first_deadline = min((ticket.deadline for ticket in self._waiting), default=float("inf"))
        return late

    def cancel(self, ticket: Ticket) -> None:
        """Remove what waits of a request whose client is gone."""
        self.totals.cancelled += 1
        self.discard(ticket)

    def discard(self, ticket: Ticket) -> None:
        """Remove what waits of a request."""
        if ticket in self._waiting:
            self._line_of(ticket).discard(ticket)
            self._leave(ticket, self._waiting[ticket])

    def _leave(self, ticket: Ticket, pieces: int) -> None:
        self._waiting[ticket] -= pieces
        if not self._waiting[ticket]:
            del self._waiting[ticket]
            self._nbytes -= ticket.nbytes

    def _line_of(self, ticket: Ticket) -> Line:
        return self._background if ticket.background else self._line
