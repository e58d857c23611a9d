"""How a verb fails, in VBoxManage's words: result codes that tools look for, and syntax errors with their usage."""

from __future__ import annotations

import attrs
from ringone.api.errors import (
    ConfigError,
    DriverError,
    LockedError,
    MediumError,
    NotFoundError,
    RingOneError,
    StateError,
    UnknownNameError,
    UnsupportedError,
)

FAILURE_EXIT_CODE = 1
SYNTAX_EXIT_CODE = 2


@attrs.frozen
class ResultCode:
    """A COM result as VBoxManage prints it, and the interface that it usually comes from."""

    name: str
    number: int
    component: str = "MachineWrap"
    interface: str = "IMachine"

    def __str__(self) -> str:
        where = f"component {self.component}, interface {self.interface}, callee nsISupports"
        return f"Details: code {self.name} ({self.number:#010x}), {where}"


OBJECT_NOT_FOUND = ResultCode("VBOX_E_OBJECT_NOT_FOUND", 0x80BB0001, "VirtualBoxWrap", "IVirtualBox")
INVALID_VM_STATE = ResultCode("VBOX_E_INVALID_VM_STATE", 0x80BB0002)
VM_ERROR = ResultCode("VBOX_E_VM_ERROR", 0x80BB0003)
FILE_ERROR = ResultCode("VBOX_E_FILE_ERROR", 0x80BB0004)
IPRT_ERROR = ResultCode("VBOX_E_IPRT_ERROR", 0x80BB0005)
INVALID_OBJECT_STATE = ResultCode("VBOX_E_INVALID_OBJECT_STATE", 0x80BB0007)
NOT_SUPPORTED = ResultCode("VBOX_E_NOT_SUPPORTED", 0x80BB0009)
OBJECT_IN_USE = ResultCode("VBOX_E_OBJECT_IN_USE", 0x80BB000C)
INVALID_ARGUMENT = ResultCode("E_INVALIDARG", 0x80070057)
GENERAL_FAILURE = ResultCode("NS_ERROR_FAILURE", 0x80004005)

CODES: tuple[tuple[type[RingOneError], ResultCode], ...] = (
    (NotFoundError, OBJECT_NOT_FOUND),
    (UnknownNameError, OBJECT_NOT_FOUND),
    (UnsupportedError, NOT_SUPPORTED),
    (ConfigError, INVALID_ARGUMENT),
    (LockedError, INVALID_OBJECT_STATE),
    (StateError, INVALID_VM_STATE),
    (MediumError, FILE_ERROR),
    (DriverError, IPRT_ERROR),
    (RingOneError, GENERAL_FAILURE),
)
"""The first class that fits counts."""


class VerbError(RingOneError):
    """A verb was understood and could not be done."""

    def __init__(self, message: str, code: ResultCode = GENERAL_FAILURE) -> None:
        super().__init__(message)
        self.code = code


class NotSupportedError(VerbError):
    """VBoxManage knows it and RingOne does not have it."""

    def __init__(self, what: str, accepted: str = "") -> None:
        super().__init__(f"{what}; accepted: {accepted}" if accepted else what, NOT_SUPPORTED)


class VerbSyntaxError(RingOneError):
    """The command line is not one of the verb's."""

    exit_code = SYNTAX_EXIT_CODE


def result_code(error: RingOneError) -> ResultCode:
    return error.code if isinstance(error, VerbError) else next(code for kind, code in CODES if isinstance(error, kind))
