"""Run a command under a complete, throw-away production configuration.

python -m tests.production manage.py check --deploy
"""

import base64
import os
import secrets
import subprocess
import sys
import tempfile


def environment(home: str) -> dict[str, str]:
    """What a production installation sets, with secrets made for this run."""
    return {
        **os.environ,
        "MEGABRAIN_HOME": home,
        "MEGABRAIN_BASE_URL": "https://megabrain.example",
        "SECRET_KEY": secrets.token_urlsafe(64),
        "MEGABRAIN_VAULT_KEYS": "2026a:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "EMAIL_URL": "smtp://localhost:25",
        "DEFAULT_FROM_EMAIL": "MegaBrain <no-reply@megabrain.example>",
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        sys.exit(
            subprocess.run(  # noqa: S603 -- the arguments are the developer's own.
                [sys.executable, *sys.argv[1:]], env=environment(home), check=False
            ).returncode
        )
