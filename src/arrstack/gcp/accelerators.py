"""Where Compute Engine has which accelerator, asked of it (compute.v1, acceleratorTypes.aggregatedList). Vertex AI has them in some of these regions."""

from arrstack.gcp.api import Api
from arrstack.gcp.services import ask

COMPUTE = "https://compute.googleapis.com"
FIELDS = "items/*/acceleratorTypes/name,nextPageToken"


def regions(api: Api) -> dict[str, tuple[str, ...]]:
    """Vertex AI's name of an accelerator -> regions. Raises RegistryError, MachineError.

    regions(api)["NVIDIA_L4"]  # ("europe-west4", "us-central1", ...)
    """
    found: dict[str, set[str]] = {}
    token = ""
    while True:
        url = (
            f"{api.endpoint('compute') or COMPUTE}/compute/v1/projects/{api.project}/aggregated/acceleratorTypes?fields={FIELDS}"
        )
        page = (
            ask(api, "ask where there are GPUs", f"project {api.project}", "GET", f"{url}&pageToken={token}" if token else url)
            or {}
        )
        for zone, inside in page.get("items", {}).items():
            for each in inside.get("acceleratorTypes", []):
                region = zone.removeprefix("zones/").rpartition("-")[0]
                found.setdefault(each["name"].upper().replace("-", "_"), set()).add(region)
        token = page.get("nextPageToken", "")
        if not token:
            return {name: tuple(sorted(each)) for name, each in found.items()}
