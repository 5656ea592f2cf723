"""Keep secrets out of messages and files.

Addresses can carry credentials (`user:password@`, signed query strings), and the texts of errors
raised by Hub clients repeat them. What is left is enough to recognise the address.
"""

import re

ADDRESS = re.compile(r"(?P<scheme>[a-zA-Z][\w+.-]*://)(?P<user>[^\s/@'\"]*@)?(?P<rest>[^\s'\"]*)")
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")


def redact(text: str) -> str:
    """Drop user info, query and fragment of every address in a text, and any Hub token."""
    shortened = ADDRESS.sub(
        lambda match: match["scheme"] + re.split(r"[?#]", match["rest"], maxsplit=1)[0], text
    )
    return HUB_TOKEN.sub("hf_…", shortened)
