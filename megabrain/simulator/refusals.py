"""What can be wrong with a request. Each provider says it with its own status and words."""

from enum import StrEnum


class Case(StrEnum):
    NO_KEY = "no_key"
    BAD_KEY = "bad_key"
    NO_ACCESS = "no_access"
    NO_CREDIT = "no_credit"
    RATE_LIMITED = "rate_limited"
    MODEL_MISSING = "model_missing"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    BAD_REQUEST = "bad_request"
    TOO_LONG = "too_long"
    TOO_LARGE = "too_large"
    NO_SUCH_PATH = "no_such_path"


class Refused(Exception):
    """Ends a request with an error. Empty `message` and `code` leave the provider's usual ones."""

    def __init__(
        self, case: Case, message: str = "", *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message or case.value)
        self.case = case
        self.message = message
        self.param = param
        self.code = code


def bad_request(message: str, *, param: str | None = None, code: str | None = None) -> Refused:
    return Refused(Case.BAD_REQUEST, message, param=param, code=code)
