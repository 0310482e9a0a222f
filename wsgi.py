"""What a WSGI server loads: the application with the settings of this process's environment."""

from consent_service.app import create_app
from consent_service.config import Settings

app = create_app(Settings.from_environ())
