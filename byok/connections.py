"""How the key test connects, as the gateway does: to whom the machine trusts, and where it may."""

import socket
import ssl
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from byok import addresses


class LeadsInside(Exception):
    """A connection would have gone to an address that is not public."""


class SystemTrust(HTTPAdapter):
    """Trusts the machine's certificate authorities."""

    # Any: what requests hands through to urllib3.
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=ssl.create_default_context(), **kwargs)


class PublicOnly(SystemTrust):
    """Connects to public addresses alone, for those that a customer chose."""

    # Any: what requests hands through to urllib3.
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"https": _Pool}


class _Connection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        seconds = self.timeout if isinstance(self.timeout, int | float) else None
        try:
            return addresses.connect(self.host, self.port, seconds)
        except addresses.NotPublic:
            # Not an OSError, which would be taken for a fault of the network.
            raise LeadsInside from None
        except TimeoutError:
            raise ConnectTimeoutError(self, "It takes too long.") from None
        except OSError:
            raise NewConnectionError(self, "It cannot be connected to.") from None


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection
