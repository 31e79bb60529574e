"""Pure but for `gcloud`'s own settings: what is called what in Google Cloud.

names = Names.of(stack.cloud, "", "", os.environ)
names.image("arr-pytorch-base", "latest")  # us-central1-docker.pkg.dev/P/arr-coc-registry-persistent/arr-pytorch-base:latest
"""

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.recipes.places import Cloud

PROJECT = re.compile(r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]")
"""Six to thirty letters, digits and hyphens (resourcemanager.projects, `projectId`), with the domain that old ones have before it."""
REGION = re.compile(r"[a-z]+-[a-z]+[0-9]+")
ACCOUNT = "arrstack-build"
"""The service account that builds; its name is at most thirty characters."""


@dataclass(frozen=True)
class Names:
    project: str
    region: str
    cloud: Cloud

    @classmethod
    def of(cls, cloud: Cloud, project: str, region: str, environment: Mapping[str, str]) -> "Names":
        """`project` and `region` from flags, else the stack file, else the environment's GOOGLE_CLOUD_PROJECT, and last of all gcloud's own
        project. Raises ConfigError."""
        project = project or cloud.project or environment.get("GOOGLE_CLOUD_PROJECT", "") or gcloud_project(environment)
        if not project:
            raise ConfigError(
                "no Google Cloud project is named",
                "give --project, set ARRSTACK_PROJECT or `project` in [cloud] of stack.toml, or `gcloud config set project PROJECT`",
            )
        if not PROJECT.fullmatch(project):
            raise ConfigError(f"'{project}' is no project id", "`gcloud projects list` shows them; not the number, not the name")
        region = region or cloud.region
        if not REGION.fullmatch(region):
            raise ConfigError(f"'{region}' is no region", "for example us-central1")
        return cls(project, region, cloud)

    @property
    def host(self) -> str:
        return f"{self.region}-docker.pkg.dev"

    def prefix(self, repository: str) -> str:
        """A repository of Artifact Registry, as HOST/PREFIX."""
        return f"{self.host}/{self.project.replace(':', '/')}/{repository}"

    @property
    def prefixes(self) -> dict[str, str]:
        """Both repositories' names -> HOST/PREFIX."""
        return {name: self.prefix(name) for name in (self.cloud.repository, self.cloud.persistent_repository)}

    def image(self, tier: str, tag: str) -> str:
        """A tier's image by a tag: the profile's, or its key's."""
        return f"{self.prefix(self.cloud.repository_of(tier))}/{tier}:{tag}"

    @property
    def account(self) -> str:
        """The build's service account."""
        return f"{ACCOUNT}@{'.'.join(reversed(self.project.split(':')))}.iam.gserviceaccount.com"

    @property
    def logs_bucket(self) -> str:
        return self.cloud.log_bucket or f"{self.bucket_stem}-arrstack-logs"

    @property
    def staging_bucket(self) -> str:
        return self.cloud.staging_bucket or f"{self.bucket_stem}-arrstack-staging"

    @property
    def cache_bucket(self) -> str:
        return self.cloud.cache_bucket or f"{self.bucket_stem}-arrstack-sccache"

    @property
    def gcloud_bucket(self) -> str:
        """Where `gcloud builds submit` puts sources (gcloud 528, command_lib/builds/staging_bucket_util.py)."""
        return f"{self.project.replace(':', '_').replace('.', '_').replace('google', 'elgoog')}_cloudbuild"

    @property
    def bucket_stem(self) -> str:
        return self.project.replace(":", "-").replace(".", "-")

    @property
    def location(self) -> str:
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def pool(self) -> str:
        """The private pool's full name."""
        return f"{self.location}/workerPools/{self.cloud.pool}"


def gcloud_project(environment: Mapping[str, str]) -> str:
    """The project of gcloud's active configuration, read from its files: `gcloud` itself takes a second to say it. '' for none.

    Where they are: `gcloud topic configurations`; CLOUDSDK_* come first.
    """
    if named := environment.get("CLOUDSDK_CORE_PROJECT"):
        return named
    folder = Path(environment.get("CLOUDSDK_CONFIG") or Path(environment.get("HOME") or "/") / ".config/gcloud")
    try:
        active = environment.get("CLOUDSDK_ACTIVE_CONFIG_NAME") or (folder / "active_config").read_text().strip()
        settings = configparser.ConfigParser(interpolation=None)
        settings.read_string((folder / "configurations" / f"config_{active}").read_text())
        return settings.get("core", "project", fallback="").strip()
    except (OSError, UnicodeDecodeError, configparser.Error):
        return ""
