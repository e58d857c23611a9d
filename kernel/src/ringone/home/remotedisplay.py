"""The remote display of a machine in the process that runs it: served by whichever frontend can, as the machine file says, and changed while the machine runs.

What keeps it from being served when the machine starts is a warning, and the machine runs all the same; what keeps a change from being served refuses it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

import attrs

from ringone.api.config import RemoteDisplay
from ringone.api.errors import ConfigError, RingOneError, StateError, UnsupportedError
from ringone.api.frontends import FrontendSpec, RemoteDisplayFrontend, VmSession
from ringone.api.remotedisplay import RemoteDisplayInfo

Change = Callable[[RemoteDisplay], RemoteDisplay]
Save = Callable[[Change], None]
"""Writes what becomes of the remote display into the machine file."""

log = logging.getLogger(__name__)


class ServedDisplay:
    """`ringone.api.remotedisplay.RemoteDisplayControl`. `wanted` is what the process begins with, the machine file's or that switched on."""

    def __init__(self, session: VmSession, wanted: RemoteDisplay, offers: Mapping[str, FrontendSpec], save: Save) -> None:
        self._session = session
        self._wanted = wanted
        self._offers = offers
        self._save = save
        self._server: RemoteDisplayFrontend | None = None
        self._error = ""
        self._ended = False
        self._one_at_a_time = threading.Lock()

    def start(self) -> None:
        """Serve, where that is wanted and can be done."""
        with self._one_at_a_time:
            self._serve_or_complain()

    def stop(self) -> None:
        """For ever: the machine ends."""
        with self._one_at_a_time:
            self._ended = True
            self._stop_serving()

    def info(self) -> RemoteDisplayInfo:
        with self._one_at_a_time:
            endpoint = None if self._server is None else self._server.endpoint()
            return RemoteDisplayInfo(display=self._wanted, endpoint=endpoint, error=self._error)

    def change(self, *, enabled: bool | None = None, properties: Mapping[str, str] | None = None) -> RemoteDisplayInfo:
        def changed(display: RemoteDisplay) -> RemoteDisplay:
            kept = {name: value for name, value in {**display.properties, **(properties or {})}.items() if value}
            return attrs.evolve(display, enabled=display.enabled if enabled is None else enabled, properties=kept)

        with self._one_at_a_time:
            if self._ended:
                raise StateError(f"the remote display of {self._session.config.name!r} cannot be changed: the machine ends")
            self._go_over(changed(self._wanted), changed)
        return self.info()

    # --- inside

    def _go_over(self, wanted: RemoteDisplay, changed: Change) -> None:
        before = self._wanted
        is_served_so = wanted == before and (self._server is not None) is wanted.enabled
        server = self._server if is_served_so else self._frontend(wanted)
        try:
            if not is_served_so:
                self._stop_serving()
                self._serve(server)
            self._save(changed)
        except BaseException:
            if not is_served_so:
                self._stop_serving()
                self._serve_or_complain()
            raise
        self._wanted, self._error = wanted, ""

    def _serve_or_complain(self) -> None:
        try:
            self._serve(self._frontend(self._wanted))
        except RingOneError as error:
            self._error = str(error)
            log.warning("the machine runs without its remote display: %s", error)
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
            log.exception("the machine runs without its remote display: a part of it failed")

    def _serve(self, server: RemoteDisplayFrontend | None) -> None:
        if server is not None:
            server.start(self._session)
            self._server = server

    def _stop_serving(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _frontend(self, wanted: RemoteDisplay) -> RemoteDisplayFrontend | None:
        if not wanted.enabled:
            return None
        able = {name: spec.remote_display for name, spec in self._offers.items() if spec.remote_display is not None}
        if not able:
            raise UnsupportedError("no plugin serves remote displays; accepted is one such as ringone-frontend-rdp")
        if len(able) > 1:
            raise ConfigError(f"several frontends serve remote displays: {', '.join(able)}; accepted is one")
        (make,) = able.values()
        return make(wanted)
