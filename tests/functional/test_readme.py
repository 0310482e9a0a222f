"""The README's walk does what it says: its commands are taken out of the page and run against a real demo."""

import re
import subprocess
from pathlib import Path

from tests.services import running_demo

ROOT = Path(__file__).parents[2]


def test_its_five_minutes_with_curl_end_as_they_say(tmp_path: Path) -> None:
    walk = "\n".join(re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL))

    with running_demo(tmp_path / "demo") as demo:
        done = subprocess.run(
            ["bash", "-e", "-u", "-c", walk],  # noqa: S607 - whichever the reader has
            env={"DIR": str(demo.data), "PATH": "/usr/local/bin:/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    answers = re.findall(r'"allowed":(true|false).*?"reason":"(\w+)"', done.stdout)
    assert answers == [
        ("false", "no_consent"),
        ("false", "confirmation_pending"),
        ("false", "confirmation_pending"),
        ("true", "consent_given"),
        ("false", "consent_withdrawn"),
        ("true", "consent_given"),
    ]
