"""The one way to Google's services: the login, clients, retries that are seen, errors that name the resource and what mends it.

A login is what google-auth finds (Application Default Credentials): GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default
login`, the metadata server. Endpoints are Google's, or those of gcloud's own variables, CLOUDSDK_API_ENDPOINT_OVERRIDES_<SERVICE>.

    api = Api("my-project", os.environ, print)
    client = api.client(CloudBuildClient, "cloudbuild")
    api.call("list builds", "project my-project", lambda: list(client.list_builds(request, retry=None, timeout=30)))
"""

import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from arrstack.errors import ArrstackError, MachineError, RegistryError

if TYPE_CHECKING:
    from google.auth.credentials import Credentials
    from google.auth.transport.requests import AuthorizedSession

T = TypeVar("T")
C = TypeVar("C", covariant=True)
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PATIENCE = 120.0
"""Seconds for which a call is tried again before it is given up."""
TIMEOUT = 30.0
"""Seconds for one attempt of a call that carries no large body."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 16.0

Show = Callable[[str], None]
"""Told of every wait, in a sentence."""


class Client(Protocol[C]):
    """A client's class of google-cloud-*, with a REST transport."""

    def __call__(self, *, credentials: Any, transport: str, client_options: Any) -> C: ...


@dataclass(frozen=True)
class Known:
    """A complaint of Google's that is known to mislead, or to say too little."""

    pattern: re.Pattern[str]
    told: str
    hint: str


def known(pattern: str, told: str, hint: str) -> Known:
    return Known(re.compile(pattern, re.IGNORECASE), told, hint)


# {project} is the project; {0}, {1} are the pattern's groups.
KNOWN = (
    known(
        r"(\w[\w.-]*\.googleapis\.com).*(?:has not been used in project|is disabled)|API \[?(\w[\w.-]*\.googleapis\.com)\]? not enabled",
        "the service {0} is not enabled",
        "gcloud services enable {0} --project={project}",
    ),
    known(
        r"forbidden from accessing the bucket|serviceusage\.services\.use",
        "who is logged in may not use the project's services (serviceusage.services.use)",
        "gcloud projects add-iam-policy-binding {project} --member=user:YOU --role=roles/serviceusage.serviceUsageConsumer",
    ),
    known(
        r"due to quota restrictions|no concurrent builds quota",
        "Cloud Build takes no builds of this project in this region",
        "choose another region (cloud.region in stack.toml, --region), or ask for quota: "
        "https://console.cloud.google.com/iam-admin/quotas?service=cloudbuild.googleapis.com&project={project}",
    ),
    known(
        r"iam\.serviceAccounts\.actAs|act as service account|actAs",
        "who is logged in may not act as the service account of the build (new projects since 2024: the Compute Engine default one)",
        "gcloud iam service-accounts add-iam-policy-binding SERVICE_ACCOUNT --member=user:YOU --role=roles/iam.serviceAccountUser "
        "--project={project}",
    ),
    known(
        r"billing account|billing to be enabled|billing (?:is|has been) (?:disabled|not enabled)",
        "the project has no active billing account",
        "gcloud billing projects link {project} --billing-account=ACCOUNT",
    ),
    known(
        r"VPC Service Controls|vpcServiceControls",
        "a perimeter of VPC Service Controls refuses this",
        "ask who keeps the perimeter to let Cloud Build and this network in, and name a log bucket of your own (cloud.log-bucket)",
    ),
    known(
        r"serviceAccount.*(?:logs_?bucket|logging)|logs_?bucket.*service_?account",
        "a build with a service account of its own needs a log bucket of its own",
        "set cloud.log-bucket in stack.toml",
    ),
)


@dataclass(frozen=True)
class Api:
    """Asks Google's services in one project. `show` is told of every wait before it begins."""

    project: str
    environment: Mapping[str, str] = field(repr=False)
    show: Show
    patience: float = PATIENCE
    first_wait: float = FIRST_WAIT
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    @cached_property
    def credentials(self) -> "Credentials":
        """The login. Raises MachineError where there is none."""
        import google.auth
        from google.auth.exceptions import GoogleAuthError

        # It warns of a login without a project: the project is the stack's.
        logging.getLogger("google.auth._default").setLevel(logging.ERROR)
        try:
            found: Credentials = google.auth.default(scopes=[SCOPE], quota_project_id=None)[0]
        except GoogleAuthError as error:
            said = str(error).splitlines()[0].split(". ")[0]
            raise MachineError(f"there is no login for Google Cloud: {said}", "gcloud auth application-default login") from None
        return found

    def token(self) -> str:
        """An access token, good for minutes at least. Raises MachineError, RegistryError."""
        from google.auth.transport.requests import Request

        def refresh() -> str:
            self.credentials.refresh(Request())  # type: ignore[no-untyped-call]
            return str(self.credentials.token)

        return self.call("get an access token", "the login for Google Cloud", refresh)

    @cached_property
    def session(self) -> "AuthorizedSession":
        """An HTTP session with the login, for google-cloud-storage; a token that has expired is replaced."""
        from google.auth.transport.requests import AuthorizedSession

        return AuthorizedSession(self.credentials, refresh_timeout=int(TIMEOUT))  # type: ignore[no-untyped-call]

    def endpoint(self, service: str) -> str:
        """A service's address where it is not Google's own; else ''. `service` is gcloud's name of it, as `cloudbuild`."""
        return self.environment.get(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service.upper()}", "").rstrip("/")

    def client(self, kind: Client[T], service: str) -> T:
        """A client of a service, over REST. Make one for each thread: their sessions are not shared."""
        from google.api_core.client_options import ClientOptions

        with self._lock:
            options = ClientOptions(api_endpoint=self.endpoint(service) or None)
            return kind(credentials=self.credentials, transport="rest", client_options=options)

    def call(self, what: str, resource: str, action: Callable[[], T], again: "Callable[[Exception], bool] | None" = None) -> T:
        """What the action returns. It is tried again for `patience` seconds while `again` (default: `passing`) says that the
        error may pass; each wait is shown. The action's own client is to be told retry=None.

        Raises RegistryError that names `what` and `resource`, with the command that mends it; MachineError without a login.
        """
        from google.api_core.retry import Retry

        def tell(error: Exception) -> None:
            self.show(f"{what}: {cause(error)}; trying again, for {self.patience:.0f} s at most")

        retry = Retry(
            predicate=again or passing,
            initial=self.first_wait,
            maximum=LONGEST_WAIT,
            multiplier=2.0,
            timeout=self.patience,
            on_error=tell,
        )
        try:
            return retry(action)()
        except ArrstackError:
            raise
        except errors() as error:
            raise explained(error, what, resource, self.project) from None


def errors() -> tuple[type[Exception], ...]:
    """What Google's libraries raise for what a server, a network or a login does."""
    import requests
    import urllib3
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    return (GoogleAPIError, GoogleAuthError, requests.RequestException, urllib3.exceptions.HTTPError)


def passing(error: Exception) -> bool:
    """Whether the same call may do better later: too many calls, a server's fault, a broken connection."""
    from google.api_core import exceptions

    server = (
        exceptions.TooManyRequests,
        exceptions.InternalServerError,
        exceptions.BadGateway,
        exceptions.ServiceUnavailable,
        exceptions.GatewayTimeout,
    )
    return isinstance(error, server) or broken(error)


def broken(error: Exception) -> bool:
    """Whether the connection failed: the server may have done what it was asked for, or not."""
    import requests
    import urllib3
    from google.auth.exceptions import TransportError

    kinds = (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        urllib3.exceptions.HTTPError,
        TransportError,
    )
    return isinstance(error, kinds)


def unclear(error: Exception) -> bool:
    """Whether a call that creates something may have done so although it failed: all that `passing` names but a refusal."""
    from google.api_core.exceptions import TooManyRequests

    return passing(error) and not isinstance(error, TooManyRequests)


def cause(error: BaseException) -> str:
    """One line about an error, without addresses that hold a query: a signed one is a key."""
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    if isinstance(error, RetryError) and error.cause:
        return cause(error.cause)
    if isinstance(error, GoogleAPICallError):
        said = re.sub(r"^[A-Z]+ https?://\S+: ", "", error.message or type(error).__name__)
        if inner := re.match(
            r'\{"error": *\{.*?"message": *"([^"]*)"', said, re.DOTALL
        ):  # a download's error is the whole answer
            said = inner[1]
        return f"{int(error.code) if error.code else ''} {said.splitlines()[0][:300]}".strip()
    if broken(error):  # type: ignore[arg-type]
        return f"the connection failed ({type(error).__name__})"
    return re.sub(r"\?\S*", "", str(error).splitlines()[0] if str(error) else type(error).__name__)[:300]


def explained(error: Exception, what: str, resource: str, project: str) -> ArrstackError:
    """The error in our own class: what was asked, of which resource, what was answered, and what mends it."""
    from google.api_core.exceptions import Forbidden, NotFound, RetryError, TooManyRequests, Unauthorized
    from google.auth.exceptions import RefreshError, TransportError

    first = error.cause if isinstance(error, RetryError) and error.cause else error
    text = cause(error)
    for each in KNOWN:
        if isinstance(first, TransportError):
            break
        if found := each.pattern.search(str(first)):
            groups = [group for group in found.groups() if group]
            hint = each.hint.format(*groups, project=project)
            return RegistryError(f"{what}: {each.told.format(*groups, project=project)}: {resource} ({text})", hint)
    message = f"{what}: {resource}: {text}"
    if isinstance(first, Unauthorized) or (isinstance(first, RefreshError) and not broken(first)):
        return RegistryError(f"{message}: the login is not accepted", "gcloud auth application-default login")
    if isinstance(first, Forbidden):
        return RegistryError(
            message, f"`arrstack infra check` names the role that {resource} lacks and the command that gives it"
        )
    if isinstance(first, NotFound):
        return RegistryError(message, "`arrstack infra apply` makes what is missing; compare project and region with stack.toml")
    if isinstance(first, TooManyRequests):
        return RegistryError(
            message, f"wait a minute, or ask for quota: https://console.cloud.google.com/iam-admin/quotas?project={project}"
        )
    if isinstance(first, Exception) and broken(first):
        return RegistryError(
            message, "check the connection and the proxy's variables; a new launch goes on where this one stopped"
        )
    return RegistryError(message, "https://status.cloud.google.com says what is wrong there now; a new launch goes on")
