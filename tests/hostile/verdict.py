"""What a reply to a malformed request may be: no undocumented 5xx, no path, no stack trace, nobody's text."""

import re

from tests.hostile.wire import Reply

# What docs/guides/security.md says of Triton's own answers: JSON that does not parse or has wrong types.
DOCUMENTED_500 = re.compile(
    rb"failed to parse the request JSON buffer"
    rb"|Unable to parse "
    rb"|attempt to (get|access|find|add|use) "
    rb"|parameter key '.*' was not found in the JSON"
)
DOCUMENTED_501 = re.compile(rb"Unsupported compression type")
MARKER = re.compile(rb"mark[0-9a-f]{16}")
LEAK = re.compile(
    rb"Traceback|site-packages|\.py\b|\.cc:\d|\.cpp:\d|\.so\b|\bat 0x[0-9a-f]+|core dumped"
    rb"|/(usr|tmp|root|home|work|opt|proc|var|lib|dev|mnt|srv)/"
)


def marker_of(number: int) -> str:
    """A word for request `number`."""
    return f"mark{number:016x}"


def wrongs(sent: bytes, reply: bytes, marker: str) -> list[str]:
    """What the reply gives away; a client may be told what it sent itself."""
    found = {each.group() for each in LEAK.finditer(reply)}
    leaks = [f"a leak: {each!r}" for each in sorted(found) if each not in sent]
    # A mutation may have changed the request's own word.
    others = {each.decode() for each in set(MARKER.findall(reply)) - set(MARKER.findall(sent))} - {marker}
    return leaks + [f"text of another request: {each}" for each in sorted(others)]


def http_wrongs(sent: bytes, reply: Reply, marker: str) -> list[str]:
    """Everything that is wrong with an HTTP reply."""
    found = wrongs(sent, reply.body, marker)
    documented = {500: DOCUMENTED_500, 501: DOCUMENTED_501}.get(reply.status)
    if reply.status >= 500 and not (documented and documented.search(reply.body)):
        found.append(f"status {reply.status}")
    return found
