"""``python -m guests.fetch [NAMES]``: downloads the guests of the catalog (all, or those named) and builds their images. What is there is left alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from guests import apt, images
from guests.cache import CACHE
from guests.catalog import BY_NAME


def main(arguments: Sequence[str] | None = None) -> int:
    listing = "\n".join(f"  {guest.name:<14} {guest.summary}" for guest in BY_NAME.values())
    parser = argparse.ArgumentParser(
        prog="python -m guests.fetch",
        description="Download guests from Debian and build their images.",
        epilog=f"guests:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="guests to fetch (default: all)")
    names = parser.parse_args(arguments).names or list(BY_NAME)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        parser.error(f"unknown guest {', '.join(unknown)}; known: {', '.join(BY_NAME)}")
    guests = [BY_NAME[name] for name in names]
    try:
        apt.fetch(dict.fromkeys(package for guest in guests for package in guest.packages))
        wanted = {name for guest in guests for name in guest.images}
        if "isolinux.iso" in wanted:
            apt.fetch(BY_NAME["isolinux"].packages)
            wanted |= set(BY_NAME["isolinux"].images)
        for name in images.RECIPES:
            if name in wanted:
                images.build(name)
    except apt.FetchError as error:
        print(f"fetch: {error}", file=sys.stderr)
        return 1
    print(f"fetch: {len(guests)} guests are in {CACHE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
