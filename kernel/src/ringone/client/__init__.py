"""Drive a machine from another process: ``with Machine("debian") as vm: vm.screen.wait_for("login:")``. Needs httpx, the extra ``ringone-kernel[client]``."""

from ringone.client.answers import Cells, Event, KeyboardInfo, MachineInfo, Match, RecordingInfo, RemoteDisplayInfo, Snapshot
from ringone.client.machine import AsyncMachine, Machine

__all__ = ["AsyncMachine", "Cells", "Event", "KeyboardInfo", "Machine", "MachineInfo", "Match", "RecordingInfo", "RemoteDisplayInfo", "Snapshot"]
