"""Write plugins/cpu_recompiler's stub_code.py from stub_source.py."""

from __future__ import annotations

import textwrap
from pathlib import Path

from ringone_cpu_recompiler import stub_source

TARGET = Path(stub_source.__file__).with_name("stub_code.py")
HEADER = '''"""The engine's machine code, made by tools/gen_stubs.py from `stub_source`: change that and run the tool."""

from __future__ import annotations

'''


def text() -> str:
    lines = [HEADER, "ROUTINES: dict[str, bytes] = {"]
    for name, code in stub_source.build().items():
        lines.append(f'    "{name}": bytes.fromhex(')
        lines += [f'        "{part}"' for part in textwrap.wrap(code.hex(), 128)]
        lines.append("    ),")
    lines.append("}")
    return lines[0] + "\n".join(lines[1:]) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
