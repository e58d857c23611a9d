"""What csam offers to RingOne: the code scanner `csam`. Capstone is imported when a scanner is created."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ringone.api.hooks import hookimpl
from ringone.api.scan import CodeScanner, CodeScannerSpec

from ringone_csam.options import CsamOptions


def _create(options: Any) -> CodeScanner:
    from ringone_csam.scanner import CsamScanner

    return CsamScanner(options)


@hookimpl
def ringone_code_scanners() -> Iterable[CodeScannerSpec]:
    return [CodeScannerSpec(name="csam", summary="control-flow scan with Capstone; knows pages by their content", options=CsamOptions, create=_create)]
