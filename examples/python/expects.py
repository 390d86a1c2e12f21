"""Whether a result is what is expected back (section 7, Expects). A `schema` is not looked at here."""

import base64
import json

from outcomes import Retry
from wire import get, object_of


def check(envelope, result, encoding=None):
    """Refuses a result of another format or length, where whoever sent the work asks for that."""
    expects = object_of(envelope, "expects")
    if not get(expects, "checked", False):
        return
    value, wanted = json.loads(result), get(expects, "format", "")
    is_json = wanted in ("json", "application/json") or wanted.endswith("+json")
    is_bytes = encoding == "base64"
    if (wanted == "text" or wanted.startswith("text/")) and (is_bytes or not isinstance(value, (str, int, float))):
        raise Retry("BAD_OUTPUT", f"the result must be a text, as {wanted} is")
    if is_json and (is_bytes or isinstance(value, str) and get(expects, "schema") is None):
        raise Retry("BAD_OUTPUT", f"the result must be JSON, as {wanted} is")
    size = len(value) if isinstance(value, str) else len(result)
    size = len(base64.b64decode(value)) if is_bytes else size
    least, most = get(expects, "min_length", 0), get(expects, "max_length")
    if size < least or most is not None and size > most:
        raise Retry("BAD_OUTPUT", f"the result has {size} characters, and must have {least} to {most}")
