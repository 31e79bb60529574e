"""What decides how fast a build may be: the quota of processors, and the private pool. As in `services`, each is found and made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arrstack.errors import RegistryError
from arrstack.gcp.api import TIMEOUT, Api
from arrstack.gcp.difference import Resource
from arrstack.gcp.services import finish


@dataclass(frozen=True)
class Quotas:
    api: Api

    def _parent(self) -> str:
        return f"projects/{self.api.project}/locations/global"

    def _info(self, resource: Resource) -> Any:
        from google.cloud.cloudquotas_v1 import CloudQuotasClient, ListQuotaInfosRequest

        client = self.api.client(CloudQuotasClient, "cloudquotas")
        asked = ListQuotaInfosRequest(parent=f"{self._parent()}/services/cloudbuild.googleapis.com")
        every = self.api.call(
            "ask for the quota", resource.name, lambda: list(client.list_quota_infos(asked, retry=None, timeout=TIMEOUT))
        )
        for info in every:
            if info.metric == resource.name:
                return info
        raise RegistryError(
            f"Google does not say the quota {resource.name}",
            "it is said to appear after the first build in the pool: start one, then look again",
        )

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        """What is granted in the region, and what was asked for. A quota without a place of its own holds everywhere."""
        info, region = self._info(resource), resource.wants["region"]
        granted = [
            each.details.value
            for each in info.dimensions_infos
            if each.dimensions.get("region", region) == region and region in (list(each.applicable_locations) or [region])
        ]
        asked = [each.quota_config.preferred_value for each in self._preferences(info, region)]
        return {"processors": min(granted, default=0), "asked": max(asked, default=0), "region": region}

    def _preferences(self, info: Any, region: str) -> list[Any]:
        from google.cloud.cloudquotas_v1 import CloudQuotasClient, ListQuotaPreferencesRequest

        client = self.api.client(CloudQuotasClient, "cloudquotas")
        asked = ListQuotaPreferencesRequest(parent=self._parent())
        every = self.api.call(
            "ask for what was asked for",
            info.quota_id,
            lambda: list(client.list_quota_preferences(asked, retry=None, timeout=TIMEOUT)),
        )
        return [each for each in every if each.quota_id == info.quota_id and each.dimensions.get("region", region) == region]

    def make(self, resource: Resource, _: bool) -> None:
        from google.cloud.cloudquotas_v1 import (
            CloudQuotasClient,
            CreateQuotaPreferenceRequest,
            QuotaConfig,
            QuotaPreference,
            UpdateQuotaPreferenceRequest,
        )

        client = self.api.client(CloudQuotasClient, "cloudquotas")
        info, region, config = (
            self._info(resource),
            resource.wants["region"],
            QuotaConfig(preferred_value=resource.wants["processors"]),
        )
        if asked := self._preferences(info, region):
            more = UpdateQuotaPreferenceRequest(
                quota_preference=QuotaPreference(name=asked[0].name, etag=asked[0].etag, quota_config=config)
            )
            self.api.call(
                "ask for a larger quota", resource.name, lambda: client.update_quota_preference(more, retry=None, timeout=TIMEOUT)
            )
            return
        wish = QuotaPreference(
            service="cloudbuild.googleapis.com",
            quota_id=info.quota_id,
            dimensions={"region": region},
            quota_config=config,
            justification=resource.reason,
        )
        new = CreateQuotaPreferenceRequest(parent=self._parent(), quota_preference=wish, quota_preference_id=f"arrstack-{region}")
        self.api.call(
            "ask for the quota", resource.name, lambda: client.create_quota_preference(new, retry=None, timeout=TIMEOUT)
        )


@dataclass(frozen=True)
class Pools:
    api: Api

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        from google.api_core.exceptions import NotFound
        from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient, GetWorkerPoolRequest, WorkerPool

        client = self.api.client(CloudBuildClient, "cloudbuild")
        asked = GetWorkerPoolRequest(name=resource.name)

        def get() -> WorkerPool | None:
            try:
                return client.get_worker_pool(asked, retry=None, timeout=TIMEOUT)
            except NotFound:
                return None

        found = self.api.call("look for the worker pool", resource.name, get)
        if found is None or found.state == WorkerPool.State.DELETED:
            return None
        worker = found.private_pool_v1_config.worker_config
        return {"machine": worker.machine_type, "disk GiB": worker.disk_size_gb}

    def make(self, resource: Resource, there: bool) -> None:
        from google.cloud.devtools.cloudbuild_v1 import (
            CloudBuildClient,
            CreateWorkerPoolRequest,
            PrivatePoolV1Config,
            UpdateWorkerPoolRequest,
            WorkerPool,
        )

        client = self.api.client(CloudBuildClient, "cloudbuild")
        parent, _, name = resource.name.rpartition("/workerPools/")
        worker = PrivatePoolV1Config.WorkerConfig(machine_type=resource.wants["machine"], disk_size_gb=resource.wants["disk GiB"])
        pool = WorkerPool(private_pool_v1_config=PrivatePoolV1Config(worker_config=worker), display_name=name)
        if there:
            pool.name = resource.name
            finish(
                self.api,
                "change the worker pool",
                resource.name,
                lambda: client.update_worker_pool(UpdateWorkerPoolRequest(worker_pool=pool), retry=None, timeout=TIMEOUT),
            )
            return
        new = CreateWorkerPoolRequest(parent=parent, worker_pool=pool, worker_pool_id=name)
        finish(
            self.api, "make the worker pool", resource.name, lambda: client.create_worker_pool(new, retry=None, timeout=TIMEOUT)
        )
