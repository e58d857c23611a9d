"""What a peer can make go wrong."""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer sent what the protocol, or a limit of ours, does not allow: the connection is closed, and this is the logged reason. Never holds secrets."""


class AuthenticationError(ProtocolError):
    """The peer did not prove who it is."""
