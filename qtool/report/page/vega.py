"""The scripts that draw charts in a browser: Vega, Vega-Lite and Vega-Embed, as vl-convert bundles them."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from qtool.files import write_text

LICENCE = "/* Vega, Vega-Lite and Vega-Embed, Copyright University of Washington, licence BSD-3-Clause. */\n"


def vega_script() -> str:
    """Return the text of the scripts.

    Bundling them takes seconds, so that they are kept in the user's cache folder, with a digest at their
    head: a damaged file is made again. Where there is no such folder, nothing is kept.
    """
    file = _cache_file()
    kept = None if file is None else _read(file)
    if kept is not None:
        return kept
    import vl_convert

    # The stub does not know that everything is bundled where there is no snippet.
    bundled: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    # Inside of HTML a script ends where its text says so.
    script = LICENCE + bundled.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    if file is not None:
        with suppress(OSError):
            write_text(f"{_digest(script)}\n{script}", file)
    return script


def _cache_file() -> Path | None:
    """Return the file of this version, in the cache folder of the XDG base directory specification."""
    named, home = os.environ.get("XDG_CACHE_HOME"), os.environ.get("HOME")
    folder = Path(named) if named else Path(home) / ".cache" if home else None
    return folder / "qtool" / f"vega-{version('vl-convert-python')}.js" if folder else None


def _read(file: Path) -> str | None:
    try:
        digest, _, script = file.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    return script if digest == _digest(script) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
