"""The Hugging Face Hub: its cache, the flags that forbid it, and whether it answers."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataselect.checkup.disk import space
from dataselect.checkup.finding import Finding, State
from dataselect.redaction import redact

_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
_YES = {"1", "true", "yes", "on"}
_SECONDS = 5.0
_SHOWN = 4


def examine_hub(needed: Sequence[str] = ()) -> Iterator[Finding]:
    """Cache, flags, token and reach. `needed`: what a run takes from the Hub, as `datasets/ID`."""
    try:
        from huggingface_hub import constants, get_token
    except ImportError as error:
        fix = "pip install 'transformers>=5.0', which brings it"
        yield Finding("Hub", "library", "problem", f"no huggingface_hub ({error})", fix)
        return
    home, cache = Path(constants.HF_HOME), Path(constants.HF_HUB_CACHE)
    chosen = "" if os.environ.get("HF_HOME") else " (HF_HOME is not set)"
    kept = _cached(cache)
    models = sum(each.startswith("models/") for each in kept)
    text = f"{models} models and {len(kept) - models} datasets in {cache}{chosen}"
    yield Finding("Hub", "cache", "ok", text)
    yield space("disk", home, "set HF_HOME to a folder with more room", part="Hub")
    try:
        has_token = bool(get_token())
    except Exception:
        has_token = False
    if has_token:
        yield Finding("Hub", "token", "ok", "there is one; it is not shown")
    else:
        text = "none: public models and datasets alone"
        yield Finding("Hub", "token", "ok", text)
    missing = [each for each in needed if each not in kept]
    yield _reach(constants.ENDPOINT, needed, missing)


def _reach(endpoint: str, needed: Sequence[str], missing: Sequence[str]) -> Finding:
    flags = [name for name in _OFFLINE if os.environ.get(name, "").lower() in _YES]
    wanted = ""
    if needed:
        listed = ", ".join(missing[:_SHOWN]) + (", …" if len(missing) > _SHOWN else "")
        wanted = f"; this run takes {len(needed)} from the Hub" + (
            f", not in the cache: {listed}" if missing else ", all in the cache"
        )
    severe: State = "problem" if missing else "note"
    if flags:
        fix = f"unset {' and '.join(flags)}, or name local copies"
        return Finding("Hub", "offline", severe, f"{', '.join(flags)} forbids it{wanted}", fix)
    if why := _unreachable(endpoint):
        fix = "check network and proxy, or name local copies; what is in the cache can be read"
        text = f"{redact(endpoint)} does not answer ({why}){wanted}"
        return Finding("Hub", "reach", severe, text, fix)
    return Finding("Hub", "reach", "ok", f"{redact(endpoint)} answers{wanted}")


def _unreachable(endpoint: str) -> str:
    """Why the Hub does not answer; "" if it does, whatever it answers. Sends no token."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=_SECONDS)
    except Exception as error:  # of whichever library the Hub's client uses
        return str(error) or type(error).__name__
    return ""


def _cached(cache: Path) -> set[str]:
    """What has at least one file in the cache, as `datasets/ID` and `models/ID`."""
    found = set()
    try:
        for each in cache.iterdir():
            kind, *parts = each.name.split("--")
            if kind in ("models", "datasets") and parts and any((each / "snapshots").glob("*/*")):
                found.add(f"{kind}/{'/'.join(parts)}")
    except OSError:
        return set()
    return found
