"""Keep secrets out of messages and files.

Addresses can carry credentials (`user:password@`, signed query strings), and the errors of Hub
clients repeat them. Enough is left to recognise the address.
"""

import re

ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s/@'\"]*@)?(?P<rest>[^\s'\"]*)")
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def redact(text: str) -> str:
    """`text` without the user info, query and fragment of addresses, and without Hub tokens."""
    shortened = ADDRESS.sub(
        lambda match: match["scheme"] + re.split(r"[?#]", match["rest"], maxsplit=1)[0], text
    )
    return HUB_TOKEN.sub("hf_…", shortened)
