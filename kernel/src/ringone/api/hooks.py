"""The marker for hook implementations: ``@hookimpl`` on module functions named as in `ringone.hookspecs`."""

import pluggy

hookimpl = pluggy.HookimplMarker("ringone")
