"""Webhooks as a part of the daemon."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_daemon.config.schema import Config
from edge_daemon.core.parts import Apply, Metric, Part, counters, gauges, nothing_to_apply
from edge_daemon.core.threads import JOIN_S, Worker
from edge_daemon.events.feed import EventFeed

if TYPE_CHECKING:
    from edge_daemon.webhooks.delivery import WebhookDelivery


class WebhooksPart(Part[Config]):
    """Posts the log's events to each of `webhooks`. Raises WebhookError."""

    name = "webhooks"

    def __init__(
        self,
        config: Config,
        *,
        feed: EventFeed,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._feed, self._on_failure = feed, on_failure
        self._settings = config.webhooks
        self._deliveries = self._build(config)
        self._workers: list[Worker] = []
        feed.listen(self._wake)

    def start(self) -> None:
        self._workers = [Worker("webhook", each.run, self._on_failure) for each in self._deliveries]
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        for delivery in self._deliveries:
            delivery.close()
        for worker in self._workers:
            worker.join(JOIN_S / len(self._workers))

    def report(self) -> dict[str, Any]:
        return {"webhooks": [asdict(delivery.status) for delivery in self._deliveries]}

    def metrics(self) -> Iterable[Metric]:
        states = [delivery.status for delivery in self._deliveries]
        delivered = [(state.host, state.delivered) for state in states]
        failing = [(state.host, float(bool(state.trouble))) for state in states]
        return (
            [
                counters("mien_webhook_events_delivered", "Events accepted.", "host", delivered),
                gauges("mien_webhook_failing", "1 while events are not accepted.", "host", failing),
            ]
            if states
            else []
        )

    def adopt(self, config: Config) -> Apply:
        """Start other deliveries if any webhook has changed."""
        if config.webhooks == self._settings:
            return nothing_to_apply
        self._build(config)  # finds errors now; `apply` builds again to read the saved positions

        def apply() -> None:
            self.stop()
            self._settings, self._deliveries = config.webhooks, self._build(config)
            self.start()

        return apply

    def _build(self, config: Config) -> list[WebhookDelivery]:
        if not config.webhooks:
            return []
        from edge_daemon.webhooks.build import build_deliveries  # noqa: PLC0415 (loads requests)

        return build_deliveries(config, self._feed)

    def _wake(self) -> None:
        for delivery in self._deliveries:
            delivery.wake()
