"""Settings that would do harm are refused at the start, without a word of what they hold."""

import pytest

from consent_service import config
from consent_service.errors import SettingsError


class TestPublicUrl:
    @pytest.mark.parametrize(
        "url", ["https://admin:hunter2@samtykke.example", "https://samtykke+ny.example", "https://samtykke ny.example"]
    )
    def test_what_no_log_can_be_named_after_is_refused(self, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        monkeypatch.setenv("PUBLIC_URL", url)

        with pytest.raises(SettingsError) as refused:
            config.public_url()

        assert "hunter2" not in str(refused.value)

    def test_a_port_and_a_path_belong_to_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PUBLIC_URL", "https://samtykke.example:8443/nordlys/")

        assert config.public_url() == "https://samtykke.example:8443/nordlys"
