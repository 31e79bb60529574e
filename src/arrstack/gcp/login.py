"""A credential helper for Artifact Registry (docker/docker-credential-helpers): a server's name in, a user and an access token out.

    echo europe-docker.pkg.dev | python -m arrstack.gcp.login get

`machine.credentials` runs it for such a host where no file holds a login: on a machine with a login for Google nothing is to be set up.
"""

import json
import os
import sys

from arrstack.errors import ArrstackError
from arrstack.gcp.api import Api

USER = "oauth2accesstoken"
"""The user's name by which Artifact Registry takes an access token (cloud.google.com/artifact-registry/docs/docker/authentication)."""


def main() -> int:
    """The exit status; an error is a line on standard output, as the protocol has it."""
    server = sys.stdin.read().strip()
    try:
        print(json.dumps({"ServerURL": server, "Username": USER, "Secret": Api("", os.environ, lambda _: None).token()}))
    except ArrstackError as error:
        print(f"{error.message}; {error.hint}".splitlines()[0])
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
