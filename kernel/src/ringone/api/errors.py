"""Every error that RingOne raises on purpose, in one tree.

A message says what failed, where, which value was wrong and what would have been accepted. The command line turns a `RingOneError` into one line and
`exit_code`; guest nonsense never becomes one of these.
"""

from __future__ import annotations


class RingOneError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1


class ConfigError(RingOneError):
    """A machine description, an option or a command line is wrong. `source` names the place (``file:line`` where known)."""

    exit_code = 2

    def __init__(self, message: str, *, source: str = "") -> None:
        super().__init__(f"{source}: {message}" if source else message)
        self.message = message
        self.source = source


class ConfigErrors(ConfigError):
    """Several mistakes of one file, reported together. `errors` lists them in file order."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class UnknownNameError(ConfigError):
    """A name that no plugin offers. The message lists the known ones and the closest match."""

    def __init__(self, kind: str, name: str, known: list[str], *, source: str = "") -> None:
        import difflib

        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        super().__init__(f"unknown {kind} {name!r}{hint}; known: {', '.join(sorted(known)) or 'none'}", source=source)
        self.kind = kind
        self.name = name
        self.known = known


class UnsupportedError(ConfigError):
    """A well-formed request for something RingOne does not have, named."""


class PluginError(RingOneError):
    """A plugin cannot be used. `distribution` is the one that ships it."""

    exit_code = 3

    def __init__(self, message: str, *, distribution: str = "") -> None:
        super().__init__(f"{distribution}: {message}" if distribution else message)
        self.distribution = distribution


class PluginLoadError(PluginError):
    """A plugin raised while it was imported or registered."""


class PluginConflictError(PluginError):
    """Two distributions offer the same name; both are in the message."""


class PluginApiError(PluginError):
    """A plugin was written for another `API_VERSION` or implements a hook that does not exist."""


class AssemblyError(RingOneError):
    """The parts of a machine do not fit together. `component` is the id of the part that complained."""

    exit_code = 2

    def __init__(self, message: str, *, component: str = "") -> None:
        super().__init__(f"{component}: {message}" if component else message)
        self.component = component


class AddressOverlapError(AssemblyError):
    """Two components claim the same ports or addresses."""


class UnconnectedPinError(AssemblyError):
    """A wire or link names a pin or interface that its component does not have."""


class MissingDriverError(AssemblyError):
    """A required driver slot is empty."""


class SnapshotError(RingOneError):
    """A saved state cannot be loaded: damaged, of another version, or of another machine."""


class BackendError(RingOneError):
    """A CPU backend failed. Stops that machine alone."""

    def __init__(self, backend: str, message: str) -> None:
        super().__init__(f"CPU backend {backend}: {message}")
        self.backend = backend


class DeviceError(RingOneError):
    """A device's handler raised. Stops that machine alone; `__cause__` holds the plugin's exception."""

    def __init__(self, component: str, access: str) -> None:
        super().__init__(f"device {component} failed in {access}")
        self.component = component
        self.access = access


class DriverError(RingOneError):
    """A host resource (file, socket, terminal) cannot be used."""


class MediumError(DriverError):
    """A disk image cannot be opened, read or written. Guest I/O on it becomes a guest I/O error."""


class DiskFullError(MediumError):
    """The host has no room for a guest's write: the access fails for the guest and the machine pauses with an event."""


class StateError(RingOneError):
    """The operation does not fit the machine's state, for example pausing one that is powered off."""


class LockedError(StateError):
    """Somebody else runs, changes or works on what is asked for; the message says who."""


class NotFoundError(RingOneError):
    """Nothing of that name, UUID or path is registered."""


class WaitTimeoutError(RingOneError):
    """What was waited for did not come in time. `screen` is what the screen showed at the end, "" where it has no text."""

    def __init__(self, message: str, *, screen: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.screen = screen
