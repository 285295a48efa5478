"""The bundled catalogue as it is served: without the offerings whose announced day is over."""

import json
from datetime import UTC, datetime
from typing import Any

from byok.catalogue.bundled import BUNDLED

_TODAY = datetime.now(UTC).date().isoformat()

SERVED: list[dict[str, Any]] = [
    {**entry, "offerings": offerings}
    for entry in json.loads(BUNDLED.read_text())["models"]
    if (
        offerings := [
            offered for offered in entry["offerings"] if offered.get("retires_on", _TODAY) >= _TODAY
        ]
    )
]
