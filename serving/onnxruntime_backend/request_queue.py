"""The one queue of a model: which request gets in, which is next, and which waited too long.

The module has no threads and no Triton, and takes its clock as an argument, so that it can be simulated. A
caller with several threads must hold a lock.

**What is next.** The run that is due first. The first run (512 tokens) of a request is due when the request
arrives. Each further one is due when those before it would be done at a quarter of the measured speed. So
single texts go in the order of their arrival. A text that comes after a list of long ones waits only for the
runs of the list that are due. Lists share the server by tokens. Nothing waits for ever: a due time never
changes, and a new request is due now or later, so it never overtakes a run that is due.

**What gets in.** A request is refused if a run, its own or another's, would start later than `seconds` (or
the request's timeout, if shorter) after it is due. A run starts when the work ahead of it, waiting or
running, is done at three quarters of the measured speed: an overload slows the model down, since refusals
take time of the same cores. For a request of several runs, its own runs and all that are not yet due count
double. So lists get half of the server together, and the other half stays free for single texts. When
nothing waits, a request always gets in, unless the server is stopping. Count and bytes have limits, too.

**Background work** has a line of its own, with at most `seconds` of work. It runs when nothing else waits.
Otherwise it gets `background_share` of the server: after each of its runs, the next is due after the time of
that run divided by the share.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from serving.onnxruntime_backend.limits import QueueLimits
from serving.onnxruntime_backend.line import Line, Piece, Portion
from serving.onnxruntime_backend.plan import LARGEST
from serving.onnxruntime_backend.rate import Rate
from serving.onnxruntime_backend.tickets import Ticket

# A request's runs are due at this part of the measured speed.
PACE = 0.25
# The part of the measured speed that is left under overload. With four times the requests that it can answer,
# a model of two layers on two cores kept 0.65 to 0.85.
CAUTION = 0.75
# The part of the server that all requests of several runs get together.
LISTS_SHARE = 0.5
# When a single text is refused, the tokenizer refuses for this model until so much of `seconds` is free.
ROOM = 0.1
# A refused client is told to wait at least this part of the limit in seconds.
SHORTEST_PAUSE = 0.25


_NOBODY = Ticket({}, [1], (), lambda outcome: None)


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

    def __init__(self, limits: QueueLimits, rate: Rate, clock: Callable[[], float]) -> None:
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
        wait = self._background.tokens / self._speed if ticket.background else self._lateness(portions, now)
        limit = min(self.limits.seconds, ticket.timeout)
        if wait > limit:
            raise self._busy(
                "time", f"about {wait:.1f} s of work wait, the limit is {limit:.1f} s", wait - limit
            )

    def full_for(self) -> float:
        """Seconds until a tenth of the limit is free, if one token more would be too much now; otherwise 0.

        They are counted at three quarters of the measured speed. Background work has its own line.
        """
        now, limit = self._clock(), self.limits.seconds
        if not self._waiting:
            return 0.0
        wait = self._lateness([Portion(_NOBODY, [0], now, 1)], now)
        return wait - (1 - ROOM) * limit if wait > limit else 0.0

    def _busy(self, reason: str, why: str, surplus: float = 0.0) -> Refused:
        pause = max(surplus, SHORTEST_PAUSE * self.limits.seconds)
        return Refused(reason, f"the server is busy: {why}; try again in {pause:.1f} s")

    @property
    def _speed(self) -> float:
        """Tokens a second that are promised."""
        return CAUTION * self.rate.tokens_per_second

    def _lateness(self, portions: Sequence[Portion], now: float) -> float:
        """Most seconds after its due time that a run would start: one of this request, or a later one."""
        speed = self._speed
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
        """The pieces to choose a run from: those due first, either all of background work or none."""
        return self._next_line().first(tokens, rows)

    def _next_line(self) -> Line:
        if not self._line or (self._background and self._background_due <= self._clock()):
            return self._background
        return self._line

    def take(self, pieces: Sequence[Piece]) -> None:
        """These pieces, which `first` named, run now."""
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
