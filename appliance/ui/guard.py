"""Who may speak to this screen: no foreign host names (DNS rebinding), no foreign pages (forged requests)."""

import ipaddress
import json
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PAGE_RULES = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
    """ASGI middleware: lets a request through only under a known host name and from no foreign page.

    Known are the loopback names, the address on which the connection really came in, and `allow_hosts`. Refusals are
    403 with `what` and `advice`. Every answer carries headers that forbid foreign scripts, frames and embedding.
    """

    def __init__(self, app: ASGIApp, allow_hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower().strip("[]") for host in allow_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then pass on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no other protocol is spoken here; the server closes the connection

        async def send_with_rules(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in PAGE_RULES.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("cache-control", "no-store")
            await send(message)

        complaint = self._complaint(scope)
        if complaint is None:
            await self._app(scope, receive, send_with_rules)
            return
        body = json.dumps({"what": complaint[0], "advice": complaint[1]}).encode()
        kind = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send_with_rules({"type": "http.response.start", "status": 403, "headers": kind})
        await send_with_rules({"type": "http.response.body", "body": body})

    def _complaint(self, scope: Scope) -> tuple[str, str] | None:
        """Why this request is refused, as what and advice; None: it may pass.

        A browser names the page that asks (Origin, Sec-Fetch-Site); a script that is no browser names none.
        """
        headers = Headers(scope=scope)
        named = headers.get("host", "")
        if not self._knows(host_of(named), scope):
            return (
                f"This screen is not served under the name {host_of(named) or '(none)'!r}.",
                "Open it by the address that `dicap run` printed, or add the name to the settings.",
            )
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        safe = scope["method"] in SAFE_METHODS
        if not safe and origin is not None and origin.partition("://")[2].lower() != named.lower():
            return "Another web page tried to press a button of this screen.", "Nothing was done."
        visit = safe and headers.get("sec-fetch-mode") == "navigate"
        if site in ("cross-site", "same-site") and scope["path"].startswith("/api/") and not visit:
            return "Another web page tried to look at this screen.", "Nothing was done."
        return None

    def _knows(self, host: str, scope: Scope) -> bool:
        """Whether that is one of our names."""
        if is_loopback(host) or host in self._hosts:
            return True
        # an address cannot be rebound by DNS; it is ours if the connection came in on it
        server = scope.get("server")
        return is_address(host) and server is not None and host == str(server[0]).lower()


def host_of(header: str) -> str:
    """The host in a Host header: lower case, without port and brackets."""
    host = header.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def is_address(host: str) -> bool:
    """Whether this is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether this names the machine itself."""
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)
