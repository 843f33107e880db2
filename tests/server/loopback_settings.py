"""Settings of a Debusine server that lives in one directory, for tests. Everything it listens to is a socket there, or on loopback."""

import os

from debusine.project.settings.defaults import *  # noqa: F401, F403
from debusine.project.settings.defaults import compute_default_settings

_place = os.environ["TEST_SERVER"]
_redis = os.path.join(_place, "redis.sock")

SECRET_KEY = "only for tests"
DEBUSINE_DATA_PATH = os.path.join(_place, "data")
DEBUSINE_FQDN = "localhost"
ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "debusine",
        "USER": "debusine-server",
        "HOST": _place,
        "ATOMIC_REQUESTS": True,
    }
}
CELERY_BROKER_URL = f"redis+socket://{_redis}"
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [f"unix://{_redis}"]},
    }
}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"

compute_default_settings(globals())
