"""Key-encryption keys that never leave AWS KMS.

KMS encrypts each data key under an encryption context that names the row, so that its own log says
which row was opened and its key policy can decide by it. It needs `kms:Encrypt` and `kms:Decrypt`.

Unwrapped data keys are remembered, so that the gateway does not ask KMS on every call: at most
`REMEMBERED` of them, each for `REMEMBERED_SECONDS`, which is how long a key disabled in KMS goes on
opening what was opened before.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from typing import Any, ClassVar

from byok.vault.context import PRODUCT, Context
from byok.vault.errors import CannotSeal, Reason, Unsealable
from byok.vault.secret import DataKey
from byok.vault.wrapping import KMS, header

REMEMBERED = 10_000
REMEMBERED_SECONDS = 300
QUIET_SECONDS = 5  # After KMS failed to answer, nobody else waits for it this long.

NOT_THIS_CIPHERTEXT = {"InvalidCiphertextException", "IncorrectKeyException"}
PASSING = {
    "DependencyTimeoutException",
    "InternalFailure",
    "KMSInternalException",
    "KeyUnavailableException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "ThrottlingException",
}


class KmsKey:
    """A key of AWS KMS, by its ARN. Safe to share between threads."""

    algorithm: ClassVar = KMS

    def __init__(
        self,
        key_id: str,
        arn: str,
        *,
        remembered: int = REMEMBERED,
        seconds: float = REMEMBERED_SECONDS,
    ) -> None:
        self.id = key_id
        self.header = header(KMS, key_id)
        self.arn = arn
        self._capacity = remembered
        self._seconds = seconds
        self._lock = threading.Lock()
        self._connection: Any = None  # boto3 makes its client classes at run time.
        self._remembered: OrderedDict[bytes, tuple[float, DataKey]] = OrderedDict()
        self._quiet_until = 0.0

    def __repr__(self) -> str:
        return f"<KmsKey {self.id}>"

    def wrap(self, data_key: DataKey, context: Context) -> bytes:
        answer = self._ask("encrypt", context, Plaintext=data_key.raw)
        if isinstance(answer, Reason):
            raise CannotSeal(f"Vault key {self.id} cannot be used. {answer.sentence}")
        ciphertext: bytes = answer["CiphertextBlob"]
        return len(ciphertext).to_bytes(2) + ciphertext

    def unwrap(self, wrapped: bytes, context: Context) -> DataKey:
        name = self._name(wrapped, context)
        data_key = self._recall(name)
        if data_key is None:
            answer = self._ask("decrypt", context, CiphertextBlob=wrapped[2:])
            if isinstance(answer, Reason):
                raise Unsealable(answer)
            data_key = DataKey(answer["Plaintext"])
            self._remember(name, data_key)
        return data_key

    def at_hand(self, wrapped: bytes, context: Context) -> bool:
        if time.monotonic() < self._quiet_until:
            return True
        return self._recall(self._name(wrapped, context)) is not None

    def _name(self, wrapped: bytes, context: Context) -> bytes:
        return hashlib.sha256(context.bound_to(self.header) + wrapped).digest()

    def _recall(self, name: bytes) -> DataKey | None:
        with self._lock:
            until, data_key = self._remembered.get(name, (0.0, None))
            return data_key if time.monotonic() < until else None

    def _remember(self, name: bytes, data_key: DataKey) -> None:
        with self._lock:
            self._remembered[name] = (time.monotonic() + self._seconds, data_key)
            self._remembered.move_to_end(name)
            while len(self._remembered) > self._capacity:
                self._remembered.popitem(last=False)

    def _ask(
        self, operation: str, context: Context, **arguments: bytes
    ) -> dict[str, bytes] | Reason:
        """The answer of KMS, or why there is none: no traceback should start beside a data key."""
        # Importing botocore takes a third of a second, which nobody without KMS should pay.
        from botocore.exceptions import BotoCoreError, ClientError

        if time.monotonic() < self._quiet_until:
            return Reason.UNAVAILABLE
        try:
            answer: dict[str, bytes] = getattr(self._client(), operation)(
                KeyId=self.arn, EncryptionContext=self._encryption_context(context), **arguments
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        except BotoCoreError:
            code, status = "", 503
        else:
            return answer
        if code in NOT_THIS_CIPHERTEXT:
            return Reason.NOT_AUTHENTIC
        if code in PASSING or status >= 500:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            return Reason.UNAVAILABLE
        return Reason.REFUSED

    def _client(self) -> Any:
        with self._lock:
            if self._connection is None:
                import boto3
                from botocore.config import Config

                self._connection = boto3.session.Session().client(
                    "kms",
                    region_name=self.arn.split(":")[3],
                    config=Config(
                        connect_timeout=1,
                        read_timeout=2,
                        retries={"max_attempts": 1, "mode": "standard"},
                        max_pool_connections=32,
                    ),
                )
            return self._connection

    def _encryption_context(self, context: Context) -> dict[str, str]:
        return {
            "product": PRODUCT,
            "table": context.table,
            "column": context.column,
            "row": context.row_id,
            "account": context.account_id,
            "provider": context.provider,
            "header": self.header.hex(),
        }
