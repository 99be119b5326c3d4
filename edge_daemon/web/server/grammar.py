"""The grammar of a request's head: RFC 9112, with RFC 9110 for fields and RFC 3986 for targets.

It is applied strictly. Where the RFCs allow a recipient to repair a message (a bare line feed, a
folded line, white space before a colon, a repeated length), the request is refused: a proxy in
front may have repaired it differently, so that one request hides in another.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

REQUEST_LINE_BYTES: Final = 8192
HEADER_BYTES: Final = 32_768  # the request line and all fields
MAX_FIELDS: Final = 100
METHODS: Final = frozenset(
    {
        "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE",
    }
)  # fmt: skip
# Fields that have one value. A repeated one is refused, because a proxy may have used the other.
SINGLETONS: Final = frozenset(
    {
        "authorization", "content-length", "content-type", "expect", "host", "if-modified-since",
        "last-event-id", "origin", "referer", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
        "user-agent",
    }
)  # fmt: skip

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PCHAR = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2}"  # and "/", which separates segments
_QUERY = rf"(?:\?(?P<query>(?:{_PCHAR}|\?)*))?"
_HOST = r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)"
_HOST_PORT = rf"{_HOST}(?::(?P<port>[0-9]*))?"

REQUEST_LINE: Final = re.compile(rb"(%s) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
FIELD_LINE: Final = re.compile(rb"(%s):([\t\x20-\x7e\x80-\xff]*)" % _TOKEN)
ORIGIN_FORM: Final = re.compile(rf"(?P<path>/(?:{_PCHAR})*){_QUERY}")
ABSOLUTE_FORM: Final = re.compile(
    rf"(?i:https?)://(?P<authority>{_HOST_PORT})(?P<path>(?:/(?:{_PCHAR})*)?){_QUERY}"
)
HOST_FIELD: Final = re.compile(_HOST_PORT)
ORIGIN_FIELD: Final = re.compile(rf"null|[A-Za-z][A-Za-z0-9+.\-]*://{_HOST_PORT}")
LENGTH: Final = re.compile(r"[0-9]{1,18}")


class RequestRefused(ValueError):
    """The request cannot be served; `status` has code and phrase, the message is one sentence."""

    def __init__(self, status: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request without its body.

    `path` and `query` are percent-encoded, as they were sent. `host` is the requested name and
    port; "" if an HTTP/1.0 client sends none. `fields` are pairs of a name in lower case and a
    value, in their order.
    """

    method: str
    path: str
    query: str
    version: str  # HTTP/1.0 or HTTP/1.1
    host: str
    fields: Sequence[tuple[str, str]]
    content_length: int

    def values(self, name: str) -> list[str]:
        """Return the values of all fields with this name."""
        return [value for each, value in self.fields if each == name]

    def elements(self, name: str) -> list[str]:
        """Return the elements of a field that is a list, in lower case."""
        listed = ",".join(self.values(name)).split(",")
        return [element.strip(" \t").lower() for element in listed if element.strip(" \t")]

    @property
    def keep_alive(self) -> bool:
        """Whether the client may send another request on this connection."""
        options = self.elements("connection")
        if "close" in options:
            return False
        return self.version == "HTTP/1.1" or "keep-alive" in options

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for an interim answer before it sends the body."""
        return self.version == "HTTP/1.1" and self.elements("expect") == ["100-continue"]


def parse_head(lines: Sequence[bytes]) -> RequestHead:
    """Parse a request line and the lines of its fields, each with its line end.

    Raises RequestRefused for anything but a well-formed request.
    """
    method, target, version = _request_line(lines[0])
    fields = [_field(line) for line in lines[1:]]
    _refuse_repeated(name for name, _ in fields)
    named = dict(fields)
    host = named.get("host")
    if host is None and version == "HTTP/1.1":
        raise _bad("The Host field is missing.")
    if host is not None:
        _check_host(host)
    if "origin" in named and not _is_origin(named["origin"]):
        raise _bad("The Origin field is not an origin.")
    authority, path, query = _target(method, target)
    head = RequestHead(
        method=method,
        path=path,
        query=query,
        version=version,
        host=(authority or host or "").removesuffix(":"),
        fields=fields,
        content_length=_length(named.get("content-length", "0")),
    )
    _check_framing(head)
    if method not in METHODS:
        raise RequestRefused("501 Not Implemented", "This method is unknown.")
    if head.elements("expect") not in ([], ["100-continue"]):
        raise RequestRefused("417 Expectation Failed", "Only 100-continue can be expected.")
    return head


def _request_line(line: bytes) -> tuple[str, str, str]:
    """Return the method, the target and the version."""
    found = REQUEST_LINE.fullmatch(_content(line))
    if found is None:
        raise _bad("The request line is malformed.")
    method, target, major, minor = (part.decode("ascii") for part in found.groups())
    if major != "1":
        raise RequestRefused("505 HTTP Version Not Supported", "Use HTTP/1.1 or HTTP/1.0.")
    return method, target, "HTTP/1.0" if minor == "0" else "HTTP/1.1"


def _field(line: bytes) -> tuple[str, str]:
    found = FIELD_LINE.fullmatch(_content(line))
    if found is None:
        raise _bad("A header line is malformed.")
    name, value = found.groups()
    return name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")


def _content(line: bytes) -> bytes:
    if not line.endswith(b"\r\n"):
        raise _bad("A line does not end with CR LF.")
    return line[:-2]


def _refuse_repeated(names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in SINGLETONS and name in seen:
            raise _bad(f"The {name} field is repeated.")
        seen.add(name)


def _target(method: str, target: str) -> tuple[str, str, str]:
    """Return the target's authority ("" without one), path and query."""
    if method == "CONNECT":
        if not is_host(target) or not target.rpartition(":")[2].isdecimal():
            raise _bad("CONNECT needs a host and a port.")
        raise RequestRefused("501 Not Implemented", "This server is not a proxy.")
    if target == "*":
        if method != "OPTIONS":
            raise _bad("The target * goes with OPTIONS only.")
        return "", "*", ""
    found = ORIGIN_FORM.fullmatch(target)
    if found is not None:
        return "", found["path"], found["query"] or ""
    found = ABSOLUTE_FORM.fullmatch(target)
    if found is None or not is_host(found["authority"]):
        raise _bad("The request target is malformed.")
    return found["authority"], found["path"] or "/", found["query"] or ""


def _check_host(value: str) -> None:
    if not is_host(value):
        raise _bad("The Host field is not a host name or an address.")


def is_host(value: str) -> bool:
    """Return whether `value` is a host name or an address, with or without a port."""
    found = HOST_FIELD.fullmatch(value)
    return found is not None and _is_authority(found)


def _is_origin(value: str) -> bool:
    found = ORIGIN_FIELD.fullmatch(value)
    return found is not None and _is_authority(found)


def _is_authority(found: re.Match[str]) -> bool:
    """Return whether the IPv6 address and the port of a match are valid, where there are any."""
    if found["port"] and (len(found["port"]) > 5 or int(found["port"]) > 65535):
        return False
    if found["ipv6"] is None:
        return True
    try:
        ipaddress.IPv6Address(found["ipv6"])
    except ValueError:
        return False
    return True


def _length(value: str) -> int:
    if LENGTH.fullmatch(value) is None:
        raise _bad("The Content-Length field is not a length.")
    return int(value)


def _check_framing(head: RequestHead) -> None:
    """Refuse a request that leaves the length of its body open (RFC 9112, section 6.3)."""
    if not head.values("transfer-encoding"):
        return
    codings = head.elements("transfer-encoding")
    if head.values("content-length"):
        raise _bad("Content-Length and Transfer-Encoding exclude each other.")
    if head.version == "HTTP/1.0" or codings.count("chunked") != 1 or codings[-1] != "chunked":
        raise _bad("The Transfer-Encoding field leaves the length of the body open.")
    if len(codings) > 1:
        raise RequestRefused("501 Not Implemented", "Send the body without a transfer coding.")
    raise RequestRefused("411 Length Required", "Send the body with its Content-Length.")


def _bad(sentence: str) -> RequestRefused:
    return RequestRefused("400 Bad Request", sentence)
