"""Documents that are whole, for tests to take one thing away from."""

from typing import Any

LANGUAGES = ("nb", "en")


def a_notice_document() -> dict[str, Any]:
    return {
        "channels": ["email", "sms"],
        "data_categories": ["pd:EmailAddress", "pd:TelephoneNumber"],
        "recipients": [],
        "languages": {language: _a_text(language) for language in LANGUAGES},
    }


def a_form_document() -> dict[str, Any]:
    return {
        "languages": list(LANGUAGES),
        "titles": _in_all("Title"),
        "intros": _in_all("Intro"),
        "submit_labels": _in_all("Send"),
        "offers": [{"purpose": "newsletter", "channel": "email"}],
        "fields": [
            {"name": "email", "kind": "email", "required": True, "labels": _in_all("E-mail"), "why": _in_all("Why")}
        ],
        "origins": ["https://shop.example"],
        "return_urls": ["https://shop.example/thanks"],
    }


def _a_text(language: str) -> dict[str, Any]:
    return {
        "title": f"Newsletter ({language})",
        "purpose_text": f"We tell you what is new ({language}).",
        "data_categories": [f"e-mail address ({language})", f"phone number ({language})"],
        "product_types_text": f"sports gear ({language})",
        "recipients_text": f"Nobody else gets your data ({language}).",
        "withdrawal_text": f"You can withdraw at any time ({language}).",
        "privacy_notice_url": f"https://nordlys.example/{language}/privacy",
        "channels": {channel: _a_channel_text(channel, language) for channel in ("email", "sms")},
    }


def _a_channel_text(channel: str, language: str) -> dict[str, str]:
    return {
        "statement": f"Yes, I want {channel} from Nordlys Sport AS ({language}).",
        "frequency_text": f"twice a month ({language})",
        "short_text": f"{channel} ({language})",
    }


def _in_all(text: str) -> dict[str, str]:
    return {language: f"{text} ({language})" for language in LANGUAGES}
