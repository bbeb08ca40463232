"""The paths of the common shape, under which all providers are reached alike.

The daemon serves them, its command line asks for them, and what it says to clients names them. A
provider's own paths stand with what is known of it, those too that happen to read the same.
"""

from typing import Final

VIDEOS: Final = "/v1/videos"
"""In OpenAI's shape."""
JOBS: Final = f"{VIDEOS}/generations"
PORTRAITS: Final = "/v1/portrait"
ENROL: Final = f"{PORTRAITS}/enroll"
SESSIONS: Final = f"{PORTRAITS}/sessions"
CALLBACKS: Final = f"{PORTRAITS}/callback/"
"""What stands behind it is a secret."""
NO_PORTRAITS: Final = ("enroll", "sessions", "callback")
"""What stands below `PORTRAITS` and is no portrait; none is called so any more."""
