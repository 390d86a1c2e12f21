"""What becomes of an attempt: what a handler returns, and what it raises."""


class Lost(Exception):
    """The hop is somebody else's, or over: what was done here does not count."""


class Complete:
    def __init__(self, result="null"):
        self.result = result


class HandOff:
    """To this agent. `history` is the text of a HistoryEntry, for the agents after it; `note` is for people."""

    def __init__(self, to, payload="null", kind=None, history=None, note=None):
        self.to, self.payload, self.kind, self.history, self.note = to, payload, kind, history, note


class Next:
    """To whoever is next by the itinerary or the pipeline; where nobody is, the payload is the result."""

    def __init__(self, payload="null", kind=None, history=None, note=None):
        self.payload, self.kind, self.history, self.note = payload, kind, history, note


class Broadcast:
    """To each of these agents a copy, as a message of the channel (section 23); done when all of them have ended."""

    def __init__(self, channel, receivers, payload="null", kind=None):
        self.channel, self.receivers, self.payload, self.kind = channel, receivers, payload, kind


class Suspended(Exception):
    """The hop asks others (section 21), and runs again when they have ended. A handler does not catch it."""

    def __init__(self, name, to, payloads):
        super().__init__(f"the call {name} of {to}")
        self.name, self.to, self.payloads = name, to, payloads


class Problem(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Retry(Problem):
    """Try again, after so many seconds or with the usual delay; parked when the attempts are used up."""

    def __init__(self, code, message, seconds=None):
        super().__init__(code, message)
        self.seconds = seconds


class Fail(Problem):
    """Failed for good."""


class Reject(Problem):
    """Declined."""


class Park(Problem):
    """Set aside for a person."""


class Unread(Park):
    """An object cannot be had, or is another one (section 24). A person puts the work back once the cause is gone."""


class Exhausted(Park):
    """The budget or the cap does not suffice (section 26); `need` is the text of what would. One may ask for less."""

    def __init__(self, code, message, need):
        super().__init__(code, message)
        self.need = need


class Asked(Exception):
    """People are asked before the handler begins (section 20)."""

    def __init__(self, name, approval):
        super().__init__(f"the approval {name}")
        self.name, self.approval = name, approval
