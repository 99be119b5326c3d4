"""The configuration's sections about the network: web, MQTT and model updates."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from edge_daemon.config.sections import PATH, Fraction, Section, restart

# The forms of what hash-password and new-token print; older versions printed _OLD_SCRYPT.
_SCRYPT = r"scrypt:\d{4,6}:\d{1,2}:\d{1,2}\$[A-Za-z0-9]{8,64}\$[0-9a-f]{128}"
_OLD_SCRYPT = r"scrypt:[A-Za-z0-9+/=]{24}:[A-Za-z0-9+/=]{44}"
PASSWORD_FORM: Final = rf"^({_SCRYPT}|{_OLD_SCRYPT})?$"
EventType = Literal[
    "daemon_start", "daemon_alive", "daemon_stop", "clock_jump",
    "camera_lost", "camera_restored", "pause_start", "pause_end",
    "face_start", "face_update", "face_end",
    "expression_start", "expression_change", "expression_end",
]  # fmt: skip
ORIGIN_FORM: Final = r"https?://[A-Za-z0-9.\-\[\]:]+"
TOKEN_FORM: Final = r"^(sha256:[0-9a-f]{64})?$"  # noqa: S105


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _loopback(host: str) -> bool:
    address = _address(host)
    return address.is_loopback if address else host == "localhost"


def _only_host(host: str, section: str) -> str:
    """Return a name or an address; one of IPv6 without the brackets that URLs have around it."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if re.search(r"[\s/@]", bare) or (":" in bare and not _address(bare)):
        raise ValueError(
            f"{section}.host should be a name or an address alone, without a scheme, a user, a "
            f"port or a path; the port is {section}.port"
        )
    return bare


def _need_both(section: str, certificate: str, key: str) -> None:
    if bool(certificate) != bool(key):
        raise ValueError(f"{section}.tls_certificate and {section}.tls_key are needed together")


class WebConfig(Section):
    """The page, the stream and the API."""

    host: Annotated[str, Field(min_length=1)] = Field(
        "127.0.0.1",
        description="Address to listen on; any but 127.0.0.1 needs a password or a token.",
        json_schema_extra=restart("the server is bound to it, and every viewer would be cut off"),
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8080,
        description="Port to listen on; 0 takes any free one.",
        json_schema_extra=restart("the server is bound to it, and every viewer would be cut off"),
    )
    max_viewers: Annotated[int, Field(ge=1, le=256)] = Field(
        32,
        description="Streams served at once; more viewers are asked to try again later.",
    )
    auth: Literal["auto", "none"] = Field(
        "auto",
        description=(
            "auto requires a password or a token unless host is this machine alone; none lets "
            "everybody who can reach the address watch."
        ),
    )
    password: Annotated[str, Field(pattern=PASSWORD_FORM)] = Field(
        "",
        description="For people: what `mien hash-password` prints.",
    )
    token: Annotated[str, Field(pattern=TOKEN_FORM)] = Field(
        "",
        description="For programs: the hash that `mien new-token` prints.",
    )
    hosts: list[str] = Field(
        [],
        description="Names of the server besides its addresses and the machine's own name.",
    )
    tls_certificate: str = Field(
        "",
        description="PEM file of the certificate for https; empty serves http.",
        json_schema_extra=PATH | restart("open connections cannot switch between http and https"),
    )
    tls_key: str = Field(
        "",
        description="PEM file of the certificate's key.",
        json_schema_extra=PATH | restart("open connections cannot switch between http and https"),
    )
    session_h: Annotated[float, Field(gt=0, le=8760)] = Field(
        720.0, description="Hours until a sign-in expires."
    )
    trusted_proxies: list[str] = Field(
        [],
        description=(
            "Addresses and networks, such as 127.0.0.1 or 10.0.0.0/8, of reverse proxies whose "
            "X-Forwarded-For, -Host and -Proto headers are believed."
        ),
    )
    cors_origins: list[str] = Field(
        [],
        description=(
            "Other sites, such as https://dash.example, whose scripts may use the API; where a "
            "password or a token is set, they have to send the token."
        ),
    )

    settings: Literal["auto"] | bool = Field(
        "auto",
        description=(
            "Whether signed-in users may change settings on the page; auto allows it if a "
            "password or a token is set."
        ),
    )

    @field_validator("host")
    @classmethod
    def _is_host(cls, text: str) -> str:
        return _only_host(text, "web")

    @property
    def offers_settings(self) -> bool:
        """Whether users who may watch may also change settings."""
        return bool(self.password or self.token) if self.settings == "auto" else self.settings

    @property
    def unguarded(self) -> bool:
        """Whether others on the network may watch without a password."""
        return not (self.password or self.token or _loopback(self.host))

    @model_validator(mode="after")
    def _guarded(self) -> WebConfig:
        if self.auth == "none" and (self.password or self.token):
            raise ValueError("web.auth is none, but there is a password or a token; remove either")
        if self.unguarded and self.auth != "none":
            raise ValueError(
                f"web.host: {self.host} lets the network watch; set web.password "
                "(`mien hash-password`) or web.token (`mien new-token`), "
                "or web.auth: none"
            )
        if self.unguarded and self.settings is True:
            raise ValueError(
                "web.settings lets everybody on the network change settings; set web.password or "
                "web.token, or web.settings: false"
            )
        _need_both("web", self.tls_certificate, self.tls_key)
        for proxy in self.trusted_proxies:
            try:
                ipaddress.ip_network(proxy)
            except ValueError:
                raise ValueError(
                    f"web.trusted_proxies: {proxy!r} is not an address or a network"
                ) from None
        for origin in self.cors_origins:
            if not re.fullmatch(ORIGIN_FORM, origin):
                raise ValueError(
                    f"web.cors_origins: {origin!r} should be an origin such as https://dash.example"
                )
        return self


class ModelsConfig(Section):
    """Signed model updates; see docs/updates.md."""

    url: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = Field(
        "", description="Address of the publisher's manifest; empty turns updates off."
    )
    key: Annotated[str, Field(pattern=r"^([A-Za-z0-9+/]{43}=)?$")] = Field(
        "", description="The publisher's public key, as `mien sign` prints it."
    )
    folder: str = Field(
        "fetched-models",
        description="The folder for downloaded models.",
        json_schema_extra=PATH,
    )
    every_h: Annotated[float, Field(ge=0.0001, le=8760)] = Field(
        24.0, description="Hours between two checks for a newer model."
    )
    probation_s: Annotated[float, Field(ge=1, le=86400)] = Field(
        300.0, description="Seconds that a new model must work well before it is kept."
    )

    @model_validator(mode="after")
    def _complete(self) -> ModelsConfig:
        if bool(self.url) != bool(self.key):
            raise ValueError("models.url and models.key are needed together")
        return self


class WebhookConfig(Section):
    """A program that events are posted to; see docs/webhooks.md."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")] = Field(
        description="The address that events are posted to."
    )
    types: list[EventType] = Field([], description="Only events of these types; empty for all.")
    labels: list[str] = Field([], description="Only events with these labels; empty for all.")
    min_score: Fraction = Field(0.0, description="Only events scored at least this, if scored.")
    secret_file: str = Field("", description="A file with the secret that signs requests.")
    headers_file: str = Field("", description="A file with header lines to add to requests.")
    tls_ca: str = Field(
        "", description="PEM of who signed the receiver's certificate; empty for the public ones."
    )
    template: str = Field(
        "", description="The body, with {field} for a field of the event; empty for its JSON."
    )
    content_type: Annotated[str, Field(pattern=r"^[\w.+-]+/[\w.+; =-]+$")] = Field(
        "application/json", description="The type of the body."
    )


# Neither wildcards nor control characters, for which brokers close the connection without a word.
TOPIC: Final = re.compile(r"[^/#+\x00-\x1f\x7f-\x9f]+(/+[^/#+\x00-\x1f\x7f-\x9f]+)*")


class MqttConfig(Section):
    """Events and state for an MQTT broker and Home Assistant; see docs/mqtt.md."""

    host: str = Field("", description="The broker's name or address; empty turns MQTT off.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        1883, description="The broker's port; with TLS it usually is 8883."
    )
    credentials: str = Field(
        "",
        description=(
            "A file that only the daemon's user can read: the user name in its first line, the "
            "password, if any, in its second."
        ),
        json_schema_extra=PATH,
    )
    tls: bool = Field(False, description="Use TLS with the broker.")
    tls_ca: str = Field(
        "",
        description="PEM file of the broker's authority; empty uses the system's authorities.",
        json_schema_extra=PATH,
    )
    tls_certificate: str = Field(
        "",
        description="PEM file of the daemon's own certificate, if the broker requires one.",
        json_schema_extra=PATH,
    )
    tls_key: str = Field(
        "", description="PEM file of that certificate's key.", json_schema_extra=PATH
    )
    topic: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        "mien/{host}/{camera}",
        description=(
            "What the daemon's topics begin with, unique for each daemon; {host} is the machine's "
            "name, {camera} is camera.name."
        ),
    )
    discovery: Annotated[str, Field(max_length=200)] = Field(
        "homeassistant",
        description="Home Assistant's discovery prefix; empty does not announce the device.",
    )
    commands: bool = Field(
        False,
        description="Let everybody who may publish on the broker pause, blur and set the interval.",
    )
    snapshots: bool = Field(
        False,
        description="Publish the pictures of `snapshots`, which must be enabled, too.",
    )

    @property
    def shows_password(self) -> bool:
        """Whether others on the network can read the password."""
        return bool(self.credentials) and not (self.tls or _loopback(self.host))

    @field_validator("host")
    @classmethod
    def _is_host(cls, text: str) -> str:
        return _only_host(text, "mqtt")

    @field_validator("topic", "discovery")
    @classmethod
    def _is_topic(cls, text: str, info: ValidationInfo) -> str:
        if text and not TOPIC.fullmatch(text):
            raise ValueError(
                f"mqtt.{info.field_name} is {text!r:.60}, but should be words between slashes, "
                "without + # and control characters"
            )
        return text

    @model_validator(mode="after")
    def _complete(self) -> MqttConfig:
        _need_both("mqtt", self.tls_certificate, self.tls_key)
        if (self.tls_ca or self.tls_certificate) and not self.tls:
            raise ValueError("mqtt.tls_ca and mqtt.tls_certificate need mqtt.tls: true")
        return self
